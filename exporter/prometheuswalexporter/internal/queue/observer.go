package queue

// Observer receives what happens to samples and to the log, to count and report
// it. The queue calls it at most a few times per record, from several
// goroutines and in part with its mutex locked: implementations are safe for
// concurrent use, return soon, and do not call the queue. Counts may be 0.
type Observer interface {
	// Dropped counts samples that will not be delivered, DroppedExemplars
	// exemplars; reason is one of the constants below.
	Dropped(reason string, samples int)
	DroppedExemplars(reason string, exemplars int)
	// NotAdmitted counts samples that Prometheus would refuse, and reports them.
	// example returns the labels of a series that has one; it may be called
	// only before NotAdmitted returns.
	NotAdmitted(reason string, samples int, example func() string)
	// NotLogged counts samples that are in the shards but not in the log.
	NotLogged(samples int)
	// Replayed counts samples read back from the log.
	Replayed(samples int)
	// Damaged counts parts of the log that could not be read.
	Damaged(records int)

	// AppendFailed, SaveFailed and DeleteFailed report failures of the disk,
	// which the queue survives.
	AppendFailed(err error)
	SaveFailed(err error)
	DeleteFailed(err error)
	// LogHealth is called several times a second with the error of the last
	// write to the log or its position, nil if there was none.
	LogHealth(err error)
}

// The reasons for which samples are dropped.
const (
	DropDuplicate  = "duplicate"       // another value at the time of the newest sample
	DropOutOfOrder = "out_of_order"    // older than the newest sample, see Order
	DropNotLogged  = "wal_unavailable" // the log cannot be written and the endpoint is behind
	DropDamaged    = "damaged"         // the definition of its series was damaged
	DropMaxSize    = "max_size"        // unsent, and the log was full
	DropMaxAge     = "max_age"         // unsent for too long
)
