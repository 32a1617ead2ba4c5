// Package queue is the durable queue between the appender and the endpoint: a
// write-ahead log on disk and bounded queues in memory.
//
//	Commit ──▶ segments (disk) ──────────┐
//	   │                                 │ replay, unless Live
//	   └── Live ──▶ shards (memory) ◀────┘
//	                   │ Deliver
//	                   ▼
//	                endpoint
//
// Who writes, reads and deletes:
//
//	Commit        appends a record to the log; when Live, pushes its samples
//	              to the shards too
//	replay        reads records from the cursor to the end of the log and
//	              pushes their samples to the shards, at the pace of the shards
//	shards        send, and remember up to where the log is acknowledged
//	housekeeping  saves that position, deletes segments before it and those
//	              beyond the limits, syncs, forgets unused series
//
// The cursor is the position up to which the shards have been given the log.
// The queue is Live when the cursor is at the end. When a shard is full, the
// queue becomes Replaying: Commit only appends, and replay moves the cursor
// until it reaches the end again. Memory is bounded by the shards either way,
// and the log is never read while the endpoint keeps up.
//
// Without a log, because the disk is full or the directory cannot be used, the
// samples of a Live queue are still sent, but they are not durable.
//
// One mutex, Queue.mu, orders everything: the log, the hand-over to the shards,
// the mode, and the marks in the series table. Inner types are written only by
// their own methods:
//
//	recorder        numbers series and their parts within a segment
//	admission       decides which samples are accepted
//	stage           splits a record by shard
//	shard           a queue in memory and its sender; has its own mutex
//	segmentDecoder  resolves the records that replay reads
//	directory       the lock, the log and the position file of an open directory
package queue
