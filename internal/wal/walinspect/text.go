package walinspect

import (
	"bytes"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
)

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString(r.Directory)
	if r.UsedBy != "" {
		fmt.Fprintf(&b, ", in use by %s", r.UsedBy)
	}
	b.WriteString("\n")
	switch {
	case r.UnsentFrom == nil:
		fmt.Fprintf(&b, "unsent: all %s samples; no position was saved\n", humanize.Comma(int64(r.Total.Unsent)))
	case r.Total.Unsent == 0:
		fmt.Fprintf(&b, "unsent: nothing, since segment %d at %d\n", r.UnsentFrom.Segment, r.UnsentFrom.Offset)
	default:
		fmt.Fprintf(&b, "unsent: %s samples, from segment %d at %d on\n",
			humanize.Comma(int64(r.Total.Unsent)), r.UnsentFrom.Segment, r.UnsentFrom.Offset)
	}
	b.WriteString("\n")

	var rows bytes.Buffer
	rows.WriteString("segment\tsize\trecords\tseries\tsamples\tunsent\toldest sample\tnewest sample\t\n")
	for i := range r.Segments {
		s := &r.Segments[i]
		contentLine(&rows, fmt.Sprint(s.Number), &s.Content)
	}
	contentLine(&rows, "all", &r.Total)
	align(&b, &rows, tabwriter.AlignRight)

	if r.Total.Histograms > 0 || r.Total.Exemplars > 0 {
		fmt.Fprintf(&b, "\n%s histograms among the samples, %s exemplars\n",
			humanize.Comma(int64(r.Total.Histograms)), humanize.Comma(int64(r.Total.Exemplars)))
	}
	r.writeSeries(&b)
	r.writeFaults(&b)
	_, err := w.Write(b.Bytes())
	return err
}

// align writes rows of cells that end in tabs as columns.
func align(b, rows *bytes.Buffer, flags uint) {
	t := tabwriter.NewWriter(b, 0, 8, 2, ' ', flags)
	_, _ = rows.WriteTo(t) // a bytes.Buffer does not fail
	_ = t.Flush()
}

func contentLine(rows *bytes.Buffer, name string, c *Content) {
	fmt.Fprintf(rows, "%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t\n", name, humanize.IBytes(uint64(c.Bytes)),
		c.Records, c.Series, c.Samples, c.Unsent, timeText(c.Oldest, c.Samples), timeText(c.Newest, c.Samples))
}

func (r *Report) writeSeries(b *bytes.Buffer) {
	if r.Series == nil {
		return
	}
	b.WriteString("\n")
	rows := bytes.NewBufferString("samples\tunsent\toldest sample\tnewest sample\tseries\n")
	for _, s := range r.Series {
		fmt.Fprintf(rows, "%d\t%d\t%s\t%s\t%s\n", s.Samples, s.Unsent,
			timeText(s.Oldest, s.Samples), timeText(s.Newest, s.Samples), s.Labels)
	}
	align(b, rows, 0)
}

func (r *Report) writeFaults(b *bytes.Buffer) {
	b.WriteString("\n")
	for _, d := range r.Torn {
		fmt.Fprintf(b, "cut short: segment %d at %d, %d bytes: the writer was killed before it committed them\n", d.At.Segment, d.At.Offset, d.Bytes)
	}
	if r.Sound() {
		b.WriteString("every checksum is right\n")
		return
	}
	for _, g := range r.Missing {
		fmt.Fprintf(b, "missing: segments %d to %d\n", g.First, g.Next-1)
	}
	for _, d := range r.Damage {
		fmt.Fprintf(b, "damaged: segment %d at %d, %d bytes: %s\n", d.At.Segment, d.At.Offset, d.Bytes, d.Reason)
	}
	if n := r.Total.Unresolved; n > 0 {
		fmt.Fprintf(b, "lost with it: %d whole samples whose series was in a damaged record\n", n)
	}
}

func timeText(ms int64, samples int) string {
	if samples == 0 {
		return "-"
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}
