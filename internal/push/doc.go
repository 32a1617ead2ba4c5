// Package push has what the exporters share that push data over HTTP to
// Grafana's stores and to endpoints for remote write.
package push
