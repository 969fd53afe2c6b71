package gooseplus
