package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// maxTeamProblems is how many problems of one team file are told: it is not
// trusted to leave room in the log for others.
const maxTeamProblems = 100

// teamFile is what one included file adds.
type teamFile struct {
	team      string // whose it is or seems to be, "" if that cannot be told
	rules     []Rule
	audiences []*Audience
}

// teamFiles reads the included files. A team may have several: each adds its
// rules, and one that is broken turns off all of the team's.
func (c *Config) teamFiles(r *report, files []string, taken *claims) {
	why := map[string]string{}
	for _, file := range files {
		from := len(r.problems)
		f := c.teamFile(r, file)
		taken.rules(r, f.rules)
		r.limit(from, maxTeamProblems)
		if team := c.team(f.team); team != nil {
			team.Files = append(team.Files, file)
		}
		if problem := r.firstError(from); problem != nil {
			c.blame(why, f.team, problem)
			continue
		}
		c.Rules = append(c.Rules, f.rules...)
		c.Audiences = append(c.Audiences, f.audiences...)
	}
	c.suspend(why)
}

// blame notes which teams cannot be served because of a broken file: the one
// it names, or the one whose name it misspells, or, if it names none, any.
func (c *Config) blame(why map[string]string, name string, problem *Problem) {
	reason := fmt.Sprintf("a team file is broken: %s", problem)
	if team := c.team(name); team != nil {
		team.Broken = true
		why[name] = reason
		return
	}
	for _, team := range c.Teams {
		if why[team.Name] == "" && (name == "" || nearest(name, c.teamNames()) == team.Name) {
			why[team.Name] = reason
		}
	}
}

// teamLine finds the team of a file that is not TOML, or names it in the wrong
// place.
var teamLine = regexp.MustCompile(`(?m)^[ \t]*team[ \t]*=[ \t]*["']([^"'\r\n]*)["']`)

// teamFile reads one file and reports whatever in it goes beyond the grant.
func (c *Config) teamFile(r *report, file string) (f teamFile) {
	data, exposed, err := read(file)
	if err != nil {
		r.errorf(Position{File: file, Line: 1, Column: 1}, "team file %v", err)
		return f
	}
	if m := teamLine.FindSubmatch(data); m != nil {
		f.team = string(m[1])
	}
	if exposed.problem != "" {
		r.errorf(Position{File: file, Line: 1, Column: 1}, "team file %s", exposed.problem).hint("%s", exposed.hint)
	}
	d := decode(r, file, data)
	if d == nil {
		return f
	}
	top := d.top()
	if name := top.str("team", ""); top.isString("team") {
		f.team = name
	}
	switch team := c.team(f.team); {
	case !top.has("team"):
		r.errorf(Position{File: file, Line: 1, Column: 1}, "a team file says whose it is: team = \"…\" is missing").hint("it stands before the first [[rule]]")
	case !top.isString("team"):
	case team == nil:
		r.errorf(top.at("team"), "team %s has no grant, [team.NAME], in %s%s", show(f.team), c.File, didYouMean(f.team, c.teamNames()))
	case c.foreign(r, top, file, team):
		f.team = fileName(file) // whoever wrote it names a team that need not be its own
		return f
	case !team.faulty:
		c.confined(d, top, team, &f)
		return f
	}
	top.onlyRules(false)
	return f
}

// foreign reports whether a file that says it is of team is another's: anybody
// who may write to one included file can write any name into it. The file of a
// trusted team, which may run commands, has to bear its name; no file bears
// that of another team.
func (c *Config) foreign(r *report, top *table, file string, team *Team) bool {
	if fileName(file) == team.Name || filepath.Base(filepath.Dir(file)) == team.Name {
		return false
	}
	if other := c.team(fileName(file)); other != nil {
		r.errorf(top.at("team"), "the file is named after team %s, and says that it is of team %s", other.Name, team.Name)
		return true
	}
	if team.Trusted {
		r.errorf(top.at("team"), "team %s is trusted, and this file does not bear its name", team.Name).
			hint("name it %s.toml, or put it into a directory %s", team.Name, team.Name)
	}
	return team.Trusted
}

func fileName(file string) string { return strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)) }

// confined reads what stands in a file under the grant of its team.
func (c *Config) confined(d *document, top *table, team *Team, f *teamFile) {
	s := ruleScope{team: team.Name, trusted: team.Trusted, confine: team.granted}
	s.absent = "is not granted to team " + team.Name
	if team.Trusted {
		s.absent = "is neither defined here nor granted to team " + team.Name
		f.audiences = d.audiences(top, team.Name)
		s.audiences = f.audiences
	}
	for _, a := range c.Audiences {
		if a.Team != "" || !slices.Contains(team.Audiences, a.Name) {
			continue
		}
		for _, own := range f.audiences {
			if own.Name == a.Name {
				d.errorf(own.Pos, "audience %s is granted to team %s already, from %s", a.Name, team.Name, a.Pos)
			}
		}
		s.audiences = append(s.audiences, a)
	}
	f.rules = d.rules(top, s)
	top.onlyRules(team.Trusted)
}

// onlyRules reports what else than rules stands in a team file.
func (t *table) onlyRules(trusted bool) {
	for _, key := range slices.Sorted(maps.Keys(t.keys)) {
		switch {
		case key == "team" || key == "rule" || trusted && key == "audience":
		case key == "audience" || strings.HasPrefix(key, "token_"):
			t.errorf(t.at(key), "%s: only the file of a trusted team may say where tokens come from", key)
		case slices.Contains(topLevel[:], key):
			t.errorf(t.at(key), "%s belongs in config.toml: a team file has team and [[rule]]", key)
		default:
			t.errorf(t.at(key), "unknown key %s%s", show(key), didYouMean(key, []string{"team", "rule"}))
		}
	}
}
