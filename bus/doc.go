// Package bus carries documents from those who make them to those who serve them, through a NATS JetStream KeyValue
// bucket, and events to whoever subscribes.
package bus
