// Package fleet brings the tenants of many database servers to a version, worked on by many processes.
package fleet
