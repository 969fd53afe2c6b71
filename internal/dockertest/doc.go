// Package dockertest has tests that run on database servers in containers, which github.com/ory/dockertest starts.
//
// It is a module of its own: whoever requires gooseplus gets nothing of docker's modules into go.sum. The module of
// gooseplus must not require this one.
package dockertest
