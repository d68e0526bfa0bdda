package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"l7/admin/api"
	"l7/app"
	"l7/server"
)

func explainCommand(p Process) *cli.Command {
	return &cli.Command{
		Name:      "explain",
		Usage:     "say what would become of a request, and why, without making it",
		ArgsUsage: "[METHOD] URL",
		Flags: append(configFlags(),
			&cli.GenericFlag{Name: "header", Aliases: []string{"H"}, Value: &list{}, Usage: "with the header `LINE`, as in 'Cookie: a=b'; may be repeated"},
			&cli.StringFlag{Name: "from", Usage: "from the client `IP` (default: 127.0.0.1)"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
			&cli.BoolFlag{Name: "live", Usage: "ask the running process, with its health and load, instead of reading the config"},
			&cli.StringFlag{Name: "admin", Usage: "ask the running process behind the admin `SOCKET`"},
		),
		Action: func(c *cli.Context) error {
			question, err := questionOf(c)
			if err != nil {
				return err
			}
			if c.Bool("live") || c.String("admin") != "" {
				return remotely(p, explainLive)(c)
			}
			src := configSource(c, p, nil)
			plan, err := app.Build(src, app.NewParts(app.Ignore))
			if err != nil {
				return err
			}
			defer plan.Snapshot.Close()
			question.ByConfig = true
			decision, err := plan.Snapshot.Explain(question)
			if err != nil {
				return err
			}
			return printDecision(p.Stdout, decision, c.Bool("json"))
		},
	}
}

// explainLive has the running process answer. The question has been read before, so that it is known to be one.
func explainLive(ctx context.Context, c *cli.Context, r *remote) error {
	question, err := questionOf(c)
	if err != nil {
		return err
	}
	request := api.ExplainRequest{Method: question.Method, URL: c.Args().Slice()[c.NArg()-1], Fields: fieldsOf(c), From: c.String("from")}
	raw, err := soon(ctx, r, func(ctx context.Context) (json.RawMessage, error) { return r.Explain(ctx, request) })
	if err != nil {
		return err
	}
	decision := &server.Decision{}
	if err := json.Unmarshal(raw, decision); err != nil {
		return fmt.Errorf("cannot read the answer of the running process: %w", err)
	}
	return printDecision(r.p.Stdout, decision, c.Bool("json"))
}

// questionOf reads the request that is asked about. The errors do not show the URL, for there may be a password in it.
func questionOf(c *cli.Context) (q server.Question, err error) {
	words := c.Args().Slice()
	isServer := func(word string) bool { return strings.Contains(word, "=") && !strings.Contains(word, "://") }
	if slices.ContainsFunc(words, isServer) || len(words) == 2 && strings.Contains(words[0], "://") {
		return q, usagef("want a URL alone, or a method and a URL, as in GET http://example.com/api; the servers are those of --config FILE or L7_SERVERS")
	}
	if len(words) == 0 || len(words) > 2 {
		return q, usagef("want a URL, or a method and a URL, as in GET http://example.com/api")
	}
	target, err := url.Parse(words[len(words)-1])
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return q, usagef("cannot use the URL; want one with scheme and host, as in http://example.com/api")
	}
	method := ""
	if len(words) == 2 {
		method = words[0]
	}
	q = server.NewQuestion(method, target, fieldsOf(c))
	if from := c.String("from"); from != "" {
		if q.From, err = netip.ParseAddr(from); err != nil {
			return q, usagef("cannot use --from %q; want an IP address", from)
		}
	}
	return q, nil
}

// fieldsOf are the header lines that are given.
func fieldsOf(c *cli.Context) (fields []string) {
	for _, line := range *c.Generic("header").(*list) {
		if line != "" { // the library sets a flag with an alias once more, to its String
			fields = append(fields, line)
		}
	}
	return fields
}

func printDecision(w io.Writer, d *server.Decision, asJSON bool) error {
	if asJSON {
		return printJSON(w, d)
	}
	var out bytes.Buffer
	t := tabwriter.NewWriter(&out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "request\t%s\n", d.Request)
	if d.Listener != "" {
		fmt.Fprintf(t, "listener\t%s\n", d.Listener)
	}
	fmt.Fprintf(t, "client\t%s\n", d.Client)
	if d.Backend != "" {
		fmt.Fprintf(t, "backend\t%s\n", d.Backend)
	}
	fmt.Fprintf(t, "rate limit\t%s\nauth\t%s\noutcome\t%s\n", d.RateLimit, joined(d.Auth, " ", d.Login), outcome(d))
	for _, line := range d.Removed {
		fmt.Fprintf(t, "- field\t%s\n", line)
	}
	for _, line := range d.Added {
		fmt.Fprintf(t, "+ field\t%s\n", line)
	}
	for _, limit := range d.Timeouts {
		fmt.Fprintf(t, "timeout\t%s %s\n", limit.Name, limit.Limit)
	}
	if d.Policy != "" {
		fmt.Fprintf(t, "policy\t%s\n", d.Policy)
	}
	for i, s := range d.Servers {
		backup := ""
		if s.Backup {
			backup = ", backup"
		}
		fmt.Fprintf(t, "server %d\t%s: %s, weight %d%s, %d in flight; %s\n", i+1, s.Address, s.State, s.Weight, backup, s.InFlight, s.Reason)
	}
	_ = t.Flush() // a buffer takes all
	_, err := w.Write(out.Bytes())
	return err
}

// outcome says what becomes of the request.
func outcome(d *server.Decision) string {
	if d.Status == 200 {
		return joined("passed on", ", once it has waited in the queue: ", d.Queue)
	}
	return joined(fmt.Sprintf("answered %d (%s)", d.Status, d.Cause), ": ", d.Error)
}

// joined is a text with more behind it, if there is more.
func joined(text, separator, more string) string {
	if more == "" {
		return text
	}
	return text + separator + more
}
