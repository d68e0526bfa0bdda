package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"net/url"
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
			plan, err := app.Prepare(src, app.NewParts(app.Ignore))
			if err != nil {
				return err
			}
			defer plan.Snapshot.Close()
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
	request := api.ExplainRequest{Method: question.Method, URL: c.Args().Slice()[c.NArg()-1], Fields: question.Fields, From: c.String("from")}
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

// questionOf reads the request that is asked about.
func questionOf(c *cli.Context) (q server.Question, err error) {
	words := c.Args().Slice()
	if len(words) == 0 || len(words) > 2 {
		return q, usagef("want a URL, or a method and a URL, as in GET http://example.com/api")
	}
	if len(words) == 2 {
		q.Method = words[0]
	}
	target, err := url.Parse(words[len(words)-1])
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return q, usagef("cannot use the URL %q; want one with scheme and host, as in http://example.com/api", words[len(words)-1])
	}
	q.Host, q.Target = target.Host, target.RequestURI()
	for _, line := range *c.Generic("header").(*list) {
		if line != "" { // the library sets a flag with an alias once more, to its String
			q.Fields = append(q.Fields, line)
		}
	}
	if from := c.String("from"); from != "" {
		if q.From, err = netip.ParseAddr(from); err != nil {
			return q, usagef("cannot use --from %q; want an IP address", from)
		}
	}
	return q, nil
}

func printDecision(w io.Writer, d *server.Decision, asJSON bool) error {
	if asJSON {
		return printJSON(w, d)
	}
	var out bytes.Buffer
	t := tabwriter.NewWriter(&out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "request\t%s\nclient\t%s\n", d.Request, d.Client)
	if d.Backend != "" {
		fmt.Fprintf(t, "backend\t%s\n", d.Backend)
	}
	fmt.Fprintf(t, "rate limit\t%s\nauth\t%s %s\n", d.RateLimit, d.Auth, d.Login)
	if d.Status == 200 {
		fmt.Fprintln(t, "outcome\tpassed on")
	} else {
		fmt.Fprintf(t, "outcome\tanswered %d (%s) %s\n", d.Status, d.Cause, d.Error)
	}
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
