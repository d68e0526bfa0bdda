package balancer

import (
	"math/rand/v2"
	"slices"
	"sort"
	"time"
)

// randomTwo picks two servers at random, by weight, and takes the one with less load for its weight. It costs the same
// however many servers there are.
type randomTwo struct {
	group *group
	upTo  []int // the sum of the weights up to each member; nil: all weigh the same, and nothing has to be searched
}

// draws is how often a server that cannot be taken is drawn again before all are looked at.
const draws = 8

func newRandomTwo(g *group) policy {
	p := randomTwo{group: g}
	first := g.members[0].config.Weight
	if first > 0 && !slices.ContainsFunc(g.members, func(m *Member) bool { return m.config.Weight != first }) {
		return p
	}
	p.upTo = make([]int, len(g.members))
	sum := 0
	for i, m := range g.members {
		sum += m.config.Weight
		p.upTo[i] = sum
	}
	return p
}

func (p randomTwo) pick(r *Request, at time.Duration) *Member {
	one := p.draw(r, at, nil)
	if one == nil {
		return p.group.least(r, at, (*Member).load)
	}
	two := p.draw(r, at, one)
	if two == nil {
		return one
	}
	a, b := one.load(at), two.load(at)
	if b < a || a == b && two.behind() < one.behind() {
		return two
	}
	return one
}

// draw draws a server that the request may be given to, and that is not the one given; nil when none was drawn.
func (p randomTwo) draw(r *Request, at time.Duration, not *Member) *Member {
	if p.group.weights == 0 {
		return nil
	}
	for range draws {
		m := p.group.members[p.any()]
		if m != not && r.may(m, at) && (m.isSettled() || m.weight(at) > rand.Float64()*float64(m.config.Weight)) {
			return m
		}
	}
	return nil
}

// any is the index of a member, each as often as its weight.
func (p randomTwo) any() int {
	if p.upTo == nil {
		return rand.IntN(len(p.group.members))
	}
	return sort.SearchInts(p.upTo, rand.IntN(p.group.weights)+1)
}
