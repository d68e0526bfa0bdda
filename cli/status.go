package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"l7/admin/api"
	"l7/cli/words"
)

func statusCommand(p Process) *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "show the running process, its backends and servers",
		Description: `Rates and times are of the last ten seconds. A server that gets no new requests has a '!' before it.

l7 status                                        as a table
l7 status --watch                                the same, each second
l7 status --json | jq '.backends[].servers[]'    for programs`,
		Flags: remoteFlags(&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "show it anew each second, until Ctrl-C"}),
		Action: remotely(p, func(ctx context.Context, c *cli.Context, r *remote) error {
			show := func(s *api.Status) error { return printStatus(p, s) }
			if c.Bool("json") {
				show = func(s *api.Status) error { return printJSON(p.Stdout, s) }
			}
			if c.Bool("watch") {
				return watchStatus(ctx, r, c.Bool("json"))
			}
			status, err := soon(ctx, r, r.Status)
			if err != nil {
				return err
			}
			return show(status)
		}),
	}
}

func printStatus(p Process, s *api.Status) error {
	_, err := p.Stdout.Write(statusText(s, lookOf(p.Stdout, p)))
	return err
}

// watchStatus shows the status each second until the context ends or the process cannot be reached any more.
func watchStatus(ctx context.Context, r *remote, asJSON bool) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for first := true; ; first = false {
		status, err := soon(ctx, r, r.Status)
		if errors.Is(err, errInterrupted) {
			return nil
		}
		if err == nil {
			err = showAgain(r.p, status, asJSON, first)
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// showAgain writes over the status before on a terminal. Elsewhere there is an empty line between the two.
func showAgain(p Process, s *api.Status, asJSON, first bool) error {
	l := lookOf(p.Stdout, p)
	text := statusText(s, l)
	switch {
	case asJSON:
		return printJSON(p.Stdout, s)
	case l.terminal:
		// Line by line, so that nothing flickers; then what the one before has left below.
		text = []byte("\x1b[H" + strings.ReplaceAll(string(text), "\n", "\x1b[K\n") + "\x1b[J")
	case !first:
		text = append([]byte("\n"), text...)
	}
	_, err := p.Stdout.Write(text)
	return err
}

// statusText is the status as a person reads it.
func statusText(s *api.Status, l look) []byte {
	var out bytes.Buffer
	state := l.paint(words.OfState(s.State), s.State)
	if s.Upgrading {
		state += ", " + l.paint(words.Yellow, "upgrading")
	}
	fmt.Fprintf(&out, "l7 %s, pid %d, up %s, %s, generation %d\n", s.Version, s.PID, words.Age(s.Time.Sub(s.Started)), state, s.Generation)
	fmt.Fprintf(&out, "config %s; %s\n", configName(s), l.paint(reloadText(s)))
	t := s.Total
	fmt.Fprintf(&out, "%s, %s req/s, p50 %s, p99 %s, %s errors/s, %d in flight\n",
		words.Count(s.Connections, "connection"), rate(t.Rate), millis(t.P50), millis(t.P99), rate(t.ErrorRate), t.InFlight)
	if s.LogDropped > 0 {
		fmt.Fprintln(&out, l.paint(words.Red, fmt.Sprintf("%d lines of the access log were dropped", s.LogDropped)))
	}
	out.WriteByte('\n')
	writeTable(&out, statusRows(s), columnsOfNumbers(), l)
	if rows := certificateRows(s); len(rows) > 0 {
		out.WriteByte('\n')
		writeTable(&out, rows, map[int]bool{1: true}, l)
	}
	return out.Bytes()
}

func configName(s *api.Status) string {
	if s.ConfigFile == "" {
		return "from arguments and environment"
	}
	return words.Plain(s.ConfigFile)
}

// reloadText is the colour and the text of what came of the last reload.
func reloadText(s *api.Status) (colour, text string) {
	switch {
	case s.Reload == nil:
		return "", "not reloaded yet"
	case !s.Reload.Failed():
		return "", "reloaded " + words.Age(s.Time.Sub(s.Reload.Time)) + " ago"
	}
	text = fmt.Sprintf("the reload %s ago FAILED: %s", words.Age(s.Time.Sub(s.Reload.Time)), words.Plain(s.Reload.Problems[0]))
	if n := len(s.Reload.Problems) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return words.Red, text
}

// row is a line of the table. The last cell, which says why, may be cut.
type row struct {
	cells  []string
	colour string // of the state
	name   string // look of the first cell
}

// columnsOfNumbers are those of the table of backends that stand to the right.
func columnsOfNumbers() map[int]bool {
	return map[int]bool{2: true, 3: true, 4: true, 5: true, 6: true, 7: true}
}

func statusRows(s *api.Status) []row {
	rows := []row{{cells: []string{"BACKEND", "STATE", "WEIGHT", "IN FLIGHT", "REQ/S", "P50", "P99", "ERR/S", "WHY"}}}
	for i := range s.Backends {
		b := &s.Backends[i]
		rows = append(rows, backendRow(b))
		for j := range b.Servers {
			rows = append(rows, serverRow(&b.Servers[j], s.Time))
		}
	}
	if len(s.Backends) == 0 {
		return nil
	}
	return rows
}

func backendRow(b *api.Backend) row {
	var why []string
	if b.Problem != "" {
		why = append(why, words.Plain(b.Problem))
	}
	if b.Waiting > 0 {
		why = append(why, words.Count(b.Waiting, "request")+" waiting in the queue")
	}
	t := b.Traffic
	return row{
		cells:  []string{words.Plain(b.Name), b.State, "", fmt.Sprint(t.InFlight), rate(t.Rate), millis(t.P50), millis(t.P99), rate(t.ErrorRate), strings.Join(why, "; ")},
		colour: words.OfState(b.State), name: words.Bold,
	}
}

func serverRow(s *api.Server, at time.Time) row {
	mark, why, colour := "  ", serverWhy(s, at), words.OfState(s.State)
	if s.State != "available" {
		mark = "! "
	}
	if s.IsFailing() {
		colour = words.Yellow
	}
	if s.Backup {
		why = strings.TrimSpace("(backup) " + why)
	}
	return row{
		cells:  []string{mark + words.Plain(s.Address), s.State, fmt.Sprint(s.Weight), fmt.Sprint(s.InFlight), rate(s.Rate), millis(s.P50), millis(s.P99), rate(s.ErrorRate), why},
		colour: colour,
	}
}

// serverWhy is what came of the last attempt where that failed, or why the server's state is what it is.
func serverWhy(s *api.Server, at time.Time) string {
	switch {
	case s.IsFailing():
		return fmt.Sprintf("failed %s ago: %s", words.Age(at.Sub(s.LastFailure.Time)), words.Plain(s.LastFailure.Reason))
	case s.Changed.IsZero():
		return words.Plain(s.Reason)
	}
	return strings.TrimSuffix(words.Age(at.Sub(s.Changed))+" ago: "+words.Plain(s.Reason), ": ") + words.Undrained(s.DrainedUntil, at)
}

const (
	// fewCertificates is how many certificates are shown, and endsSoon from when on one stands out, as l7 warns of it in its log.
	fewCertificates = 5
	endsSoon        = 14 * 24 * time.Hour
)

// certificateRows are the certificates that end first.
func certificateRows(s *api.Status) []row {
	if len(s.Certificates) == 0 {
		return nil
	}
	nearest := slices.SortedStableFunc(slices.Values(s.Certificates), func(a, b api.Certificate) int { return a.Until.Compare(b.Until) })
	more := max(0, len(nearest)-fewCertificates)
	rows := []row{{cells: []string{"CERTIFICATE", "ENDS IN", "FILE"}}}
	for i := range nearest[:len(nearest)-more] {
		rows = append(rows, certificateRow(&nearest[i], s.Time))
	}
	if more > 0 {
		rows = append(rows, row{cells: []string{fmt.Sprintf("and %d more", more), "", ""}})
	}
	return rows
}

func certificateRow(c *api.Certificate, at time.Time) row {
	name := "(no name)"
	if n := len(c.Names); n > 0 {
		name = words.Plain(c.Names[0])
		if n > 1 {
			name += fmt.Sprintf(" and %d more", n-1)
		}
	}
	left, colour := c.Until.Sub(at), ""
	ends := words.Age(left)
	switch {
	case left <= 0:
		ends, colour = "ended "+words.Age(-left)+" ago", words.Red
	case left < endsSoon:
		colour = words.Yellow
	}
	return row{cells: []string{name, ends, cmp.Or(words.Plain(c.File), "by ACME")}, colour: colour}
}

// longestWhy is how much of a reason is shown where the width of the terminal is not known.
const longestWhy = 80

// writeTable writes the rows with their columns aligned. A last cell is cut to what the terminal has left for it.
func writeTable(out *bytes.Buffer, rows []row, numbers map[int]bool, l look) {
	widths := map[int]int{}
	for _, r := range rows {
		for i, cell := range r.cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, r := range rows {
		before, last := 0, len(r.cells)-1
		line := ""
		for i, cell := range r.cells[:last] {
			padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			line += align(l.paint(map[int]string{0: r.name, 1: r.colour}[i], cell), padding, numbers[i]) + "  "
			before += widths[i] + 2
		}
		left := longestWhy
		if l.width > 0 {
			left = max(l.width-before, 10)
		}
		fmt.Fprintln(out, strings.TrimRight(line+shortened(r.cells[last], left), " "))
	}
}

func align(cell, padding string, right bool) string {
	if right {
		return padding + cell
	}
	return cell + padding
}

// shortened cuts a text to so many characters.
func shortened(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-3]) + "..."
}

// millis is a time in milliseconds as a person reads it: 0.25ms, 1.5ms, 12ms, 3.2s, 2m05s; '-' where there was nothing to measure.
func millis(ms float64) string {
	switch {
	case ms <= 0:
		return "-"
	case ms < 0.995:
		return trimmed(fmt.Sprintf("%.2f", ms)) + "ms"
	case ms < 9.95:
		return trimmed(fmt.Sprintf("%.1f", ms)) + "ms"
	case ms < 999.5:
		return fmt.Sprintf("%.0fms", ms)
	case ms < 59_950:
		return trimmed(fmt.Sprintf("%.1f", ms/1000)) + "s"
	}
	return words.Age(time.Duration(ms * float64(time.Millisecond)).Round(time.Second))
}

// rate is how much there is of something in a second.
func rate(perSecond float64) string {
	switch {
	case perSecond <= 0:
		return "0"
	case perSecond < 0.05:
		return "<0.1"
	case perSecond < 9.95:
		return trimmed(fmt.Sprintf("%.1f", perSecond))
	}
	return fmt.Sprintf("%.0f", perSecond)
}

// trimmed is a number with digits behind its point, less the zeros at the end.
func trimmed(number string) string { return strings.TrimRight(strings.TrimRight(number, "0"), ".") }
