// The status page: what a running serve says of itself, as it says it. All data
// comes from /events, and nothing leaves the page.

import {$, make, text, mark, keyed, setClock, now, span, left, timeElement, took, count, ruleName} from './dom.js'
import {plot} from './plot.js'
import * as requests from './requests.js'
import * as gate from './gate.js'

let report = null, plots = null, events = []

function facts() {
  const c = report.configuration
  text($('listen'), report.listen)
  text($('version'), report.version.replace(/^injectproxy /, ''))
  text($('configuration'), `${c.file}, ${c.broken_since ? 'changed and broken, so the one before is in use' : c.changes ? `in use for ${span(now() - Date.parse(c.in_use_since))}` : 'in use since the start'}`)
}

function problems() {
  const list = report.problems ?? []
  $('problems').hidden = !list.length
  document.title = list.length ? `${list.length} problem${list.length > 1 ? 's' : ''} · injectproxy` : 'injectproxy'
  keyed($('problem-list'), list, p => JSON.stringify([p.level, p.about, p.text.replace(/\d+m?\d*s ago/, '')]), p => {
    const e = make('li', '', make('span', 'level', p.level), make('span', 'what'), make('span', 'hint'))
    e.dataset.level = p.level === 'error' ? 'error' : 'warning'
    return e
  }, (e, p) => {
    text(e.querySelector('.what'), p.text)
    text(e.querySelector('.hint'), p.hint ?? '')
    e.querySelector('.hint').hidden = !p.hint
  })
}

// perMinute is how many requests the last minute had, by the plots.
function perMinute() {
  const steps = Math.round(60 / (plots?.recent?.step || 60))
  let n = 0
  for (const r of plots?.recent?.rules ?? []) for (const v of (r.requests ?? []).slice(-steps)) n += v * plots.recent.step
  return Math.round(n)
}

function tiles() {
  const t = report.traffic, all = [...report.rules, report.forwarded], sum = f => all.reduce((n, r) => n + f(r), 0)
  const failures = sum(r => r.failures), counts = report.session_counts ?? {}
  const list = report.gate ? gate.tiles(report, sum(r => r.requests), failures, perMinute()) : [
    ['Requests', count(sum(r => r.requests)), `${count(perMinute())}/min`],
    ['Failed', count(failures), ''],
    ['In flight', count(t.in_flight), t.streams ? plural(t.streams, 'stream') : ''],
    ['Tunnels open', count(t.tunnels.open), t.tunnels.made ? `of ${count(t.tunnels.made)}` : ''],
    ['MCP sessions', count(t.sessions), ''],
    ['Sessions healed', count(counts.healed ?? 0), counts.failed ? `${count(counts.failed)} not` : ''],
  ]
  keyed($('tiles'), list, x => x[0], x => make('div', '', make('dt', '', x[0]), make('dd', '', make('span'), make('small'))), (e, x) => {
    text(e.querySelector('span'), x[1])
    text(e.querySelector('small'), x[2])
  })
}

const range = () => document.querySelector('input[name=range]:checked').value

function rules() {
  const list = report.rules.map(r => ({...r, rule: r.name}))
  $('no-rules').hidden = list.length > 0
  if (report.forwarded.requests) list.push({...report.forwarded, rule: '', team: '', prefixes: [], none: true})
  keyed($('rules'), list, r => JSON.stringify([r.team ?? '', r.rule]), r => {
    const e = make('article', 'rule', make('h3', '', make('span', 'name', r.none ? 'no rule' : ruleName(r)), make('span', 'kind', r.none ? 'forwarded as it is' : r.kind)))
    e.plots = {rate: plot('rate'), latency: plot('latency')}
    e.append(make('p', 'prefix raw'), make('p', 'off'), e.plots.rate.figure, e.plots.latency.figure, make('p', 'ends', make('span', 'from'), make('span', 'sum'), make('span', '', 'now')))
    return e
  }, (e, r) => {
    text(e.querySelector('.prefix'), r.none ? 'to hosts of rules, under none of them' : `${report.gate ? '→ ' : ''}${r.prefixes.join(' ')}${r.audience ? ` → ${r.audience}` : ''}`)
    text(e.querySelector('.off'), r.off ? `off: ${r.off}` : '')
    e.querySelector('.off').hidden = !r.off
    text(e.querySelector('.sum'), r.requests ? `${count(r.requests)} in all, ${count(r.failures)} failed` : 'no request yet')
    text(e.querySelector('.from'), range() === 'day' ? '24 h ago' : '15 min ago')
  })
  draw()
}

// draw gives the plots of each rule their values.
function draw() {
  const shown = plots?.[range()]
  const by = new Map((shown?.rules ?? []).map(r => [JSON.stringify([r.team ?? '', r.rule ?? '']), r]))
  for (const e of $('rules').children) for (const p of Object.values(e.plots)) p.update(shown, by.get(e.dataset.key))
}

const lives = new Map() // the longest that a token, by its fingerprint, was seen to have left

function tokens() {
  const list = report.tokens ?? []
  $('no-tokens').hidden = list.length > 0
  keyed($('tokens'), list, t => JSON.stringify([t.team ?? '', t.audience]), t => {
    const meter = document.createElement('meter')
    mark(meter, 'aria-label', `life left of the token for ${t.audience}`)
    return make('li', '', make('span', 'name', (t.team ? t.team + '/' : '') + t.audience), make('span', 'left'), make('span', 'sub'), meter, make('p', 'trouble'), make('p', 'hint'))
  }, (e, t) => {
    const ms = t.expiry ? Date.parse(t.expiry) - now() : null, meter = e.querySelector('meter'), out = e.querySelector('.left')
    meter.hidden = ms === null
    if (ms !== null) {
      const life = Math.max(lives.get(t.fingerprint) ?? 3600e3, ms)
      lives.set(t.fingerprint, life)
      meter.max = life
      meter.low = Math.min(300e3, life / 2)
      meter.optimum = life
      meter.value = Math.max(0, ms)
    }
    text(out, !t.fingerprint ? 'none' : ms === null ? 'no known end' : ms <= 0 ? 'expired' : left(ms))
    mark(out, 'data-near', ms !== null && ms < 300e3)
    mark(out, 'aria-label', t.fingerprint && ms > 0 ? `expires in ${span(ms)}` : '')
    text(e.querySelector('.sub'), t.fingerprint ? `${t.fingerprint} from ${t.source}` : t.trouble ? 'not to be had' : 'asked for when first needed')
    text(e.querySelector('.trouble'), t.trouble ?? '')
    e.querySelector('.trouble').hidden = !t.trouble
    text(e.querySelector('.hint'), t.hint ?? '')
    e.querySelector('.hint').hidden = !t.hint
  })
}

const plural = (n, one) => `${count(n)} ${one}${n === 1 ? '' : 's'}`
const tones = {healed: 'good', replayed: 'good', lost: 'warn', suppressed: 'warn', dropped: 'warn', 'timed out': 'warn', failed: 'bad'}

function sessions() {
  const list = report.sessions ?? [], most = 20, all = report.traffic.sessions
  $('no-sessions').hidden = list.length > 0
  keyed($('sessions'), list.slice(0, most), s => `${s.session} ${s.target} ${s.client ?? ''}`, () => make('li', '', make('span', 'name raw'), make('span', 'count'), make('span', 'sub')), (e, s) => {
    text(e.querySelector('.name'), s.target)
    text(e.querySelector('.count'), s.recoveries ? `healed ${s.recoveries}×` : '')
    text(e.querySelector('.sub'), [s.session, s.client && `client ${s.client}`, `MCP ${s.version}`, `open ${span(now() - Date.parse(s.began))}`, `used ${span(now() - Date.parse(s.used))} ago`, s.streams && plural(s.streams, 'stream')].filter(Boolean).join(' · '))
    mark(e, 'data-recovering', Boolean(s.recovering))
  })
  $('more-sessions').hidden = all <= most
  text($('more-sessions'), `and ${count(all - most)} more`)
}

function happenings() {
  $('events-title').hidden = !events.length
  keyed($('events'), events.slice(0, 12), e => `${e.at} ${e.kind} ${e.session}`, x => {
    const e = make('li', '', timeElement(x.at), make('b', '', x.kind), make('span', 'raw', [x.target, x.session, x.detail, x.took_ms ? `in ${took(x.took_ms)}` : ''].filter(Boolean).join(' · ')))
    mark(e, 'data-tone', tones[x.kind])
    return e
  }, () => {})
}

function everything() {
  if (!report) return
  facts(); problems(); tiles(); rules()
  if (report.gate) gate.show(report.gate)
  else { tokens(); sessions(); happenings() }
  state()
}

let heard = 0, source = null, again = 0 // when to ask once more whether one is let in

function state() {
  const away = !report || performance.now() - heard > 5000
  document.body.classList.toggle('away', away)
  const s = away ? 'away' : report.ready ? 'ready' : 'draining'
  mark($('state'), 'data-state', s)
  text($('state'), s === 'away' ? (report ? 'not connected' : 'connecting') : s)
  if (report && !away) text($('uptime'), span(now() - Date.parse(report.started)))
}

// connect listens to /events. EventSource comes back by itself after a broken
// connection, but not after an answer that is none.
function connect() {
  source?.close()
  if (document.hidden) { source = null; return } // a browser has six connections to a host, for all of its tabs
  source = new EventSource('/events')
  const on = (kind, f) => source.addEventListener(kind, e => { heard = performance.now(); f(JSON.parse(e.data)) })
  on('status', s => {
    refused('')
    report = s
    plots = s.plots
    events = s.session_events ?? []
    setClock(s.now)
    requests.restart(s.in_flight, s.recent, s.traffic.in_flight)
    everything()
  })
  on('pulse', s => { report = s; setClock(s.now); everything() })
  on('plots', p => { plots = p; if (report) { tiles(); draw() } })
  on('request', requests.learn)
  on('session', e => { events = [e, ...events].slice(0, 50); happenings() })
  on('token', t => {
    const at = (report?.tokens ?? []).findIndex(x => x.audience === t.audience && (x.team ?? '') === (t.team ?? ''))
    if (at >= 0 && t.fingerprint) { report.tokens[at] = t; tokens() }
  })
  source.addEventListener('error', e => {
    heard = -Infinity
    state()
    if (e.target === source && source.readyState === EventSource.CLOSED) why()
  })
}

// why shows what serve says to who is not let in, as when its cookie is void.
async function why() {
  again = performance.now() + 5000
  try {
    const answer = await fetch('/status.json')
    refused(answer.ok ? 'Too many pages are open: close another.' : await answer.text())
  } catch {} // it is gone, which the state says
}

function refused(s) {
  text($('refused'), s.trim().replaceAll('\n', '; '))
  $('refused').hidden = !s
}

setInterval(() => {
  if (document.hidden) return
  state()
  requests.tick()
  if (report && !report.gate) tokens()
  if (!source || source.readyState === EventSource.CLOSED && performance.now() > again || performance.now() - heard > 20000 && heard > 0) { heard = -Infinity; connect() }
}, 1000)
for (const input of document.querySelectorAll('input[name=range]')) input.addEventListener('change', () => { if (report) rules() })
document.addEventListener('visibilitychange', () => {
  heard = performance.now() // it takes a moment
  connect()
})
connect()
