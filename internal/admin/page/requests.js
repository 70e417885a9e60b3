// The table of requests. Those that take long are on top, so that the others
// do not move them; pausing holds back what is new, not what is counted.

import {$, make, text, mark, timeElement, took, ruleName, visible, now, span} from './dom.js'
import {note as gateNote} from './gate.js'

const mostRows = 200, long = 2000 // ms until a request in flight is moved to the top
const order = {waiting: 0, answering: 1, ended: 2}
// A serve that was started again counts from 1 again.
const key = q => `${q.id} ${q.start}`
const rows = new Map() // by the key of the request: {request, row, cells, words}
const held = new Map() // what came while the table was paused
let dirty = new Set(), paused = false, moreInFlight = 0

const failed = q => q.state === 'ended' && (!q.status || q.status >= 400)
const healed = q => q.retry === 'healed' || /healed|replayed|recovered/.test(q.session ?? '')

// note says what there is to say of a request besides its answer.
function note(q) {
  const said = []
  if (q.problem) said.push(q.problem)
  if (q.retry) said.push(q.retry === 'healed' ? 'new token after a 401' : `401: ${q.retry}`)
  if (q.session) said.push(`session ${q.session}`)
  if (q.stream) said.push(q.state === 'ended' ? 'stream' : 'stream open')
  if (q.state === 'ended' && !q.status) said.push('client left')
  if (q.decision) said.push(...gateNote(q))
  else if (q.client) said.push(`client ${q.client}`)
  return said.join(' · ')
}

function tone(q) {
  if (q.state !== 'ended') return 'open'
  if (failed(q)) return q.status >= 500 || !q.status ? 'bad' : 'warn'
  return healed(q) ? 'good' : ''
}

function create(q) {
  const cell = name => make('td', name)
  const cells = {time: cell('time'), rule: cell('rule-name'), request: cell('request'), status: cell('status n'), duration: cell('duration n'), sent: cell('sent n'), token: cell('token mono'), note: cell('note')}
  const row = make('tr', 'fresh', ...Object.values(cells))
  row.dataset.key = key(q)
  row.dataset.began = Date.parse(q.start)
  cells.time.append(timeElement(q.start))
  text(cells.rule, q.rule ? ruleName(q) : '(none)')
  cells.request.append(make('span', 'method raw', q.method), make('span', 'authority raw', (q.authority ?? '').replace(/:443$/, '')), make('span', 'path raw', q.path))
  const words = visible([q.rule, q.team, q.kind, q.method, q.authority, q.path, q.client].join(' ')).toLowerCase()
  return {request: q, row, cells, words}
}

function show(r) {
  const q = r.request, c = r.cells
  if (!r.row.dataset.shown) r.row.dataset.shown = Date.now()
  text(c.status, q.status ? q.status : q.state === 'ended' ? '–' : 'waiting')
  text(c.duration, q.state === 'ended' ? took(q.duration_ms ?? 0) : span(now() - Date.parse(q.start)))
  text(c.sent, q.attempts ? `${q.attempts}×` : '')
  text(c.token, q.token ?? '')
  mark(c.token, 'title', q.token ? q.source ? `fingerprint of a token from ${visible(q.source)}` : 'fingerprint of the caller\u2019s token' : '')
  text(c.note, note(q))
  mark(r.row, 'data-tone', tone(q))
  mark(r.row, 'data-state', q.state)
  r.row.hidden = !matches(r)
}

function matches(r) {
  const q = r.request, which = $('which').value
  if (which === 'open' && q.state === 'ended' || which === 'failed' && !failed(q) || which === 'healed' && !healed(q)) return false
  const words = `${r.words} ${(q.caller ?? '').toLowerCase()} ${q.status ?? ''} ${q.token ?? ''} ${note(q).toLowerCase()}`
  return $('filter').value.toLowerCase().split(/\s+/).every(w => words.includes(w))
}

// learn takes over news of a request. Older news than is known changes nothing.
export function learn(q) {
  if (paused) {
    held.set(key(q), q)
    $('pause').textContent = `Resume (${held.size} new)`
    if (held.size > 2 * mostRows) held.delete(held.keys().next().value)
    return
  }
  const known = rows.get(key(q))
  if (known && order[known.request.state] > order[q.state]) return
  if (known) known.request = q
  else rows.set(key(q), create(q))
  dirty.add(key(q))
  schedule()
}

// restart takes over all there is to know, as at the beginning and after a gap.
export function restart(inFlight, ended, flying) {
  const all = [...(inFlight ?? []), ...(ended ?? [])].sort((a, b) => a.id - b.id), present = new Set(all.map(key))
  moreInFlight = Math.max(0, flying - (inFlight ?? []).length)
  for (const [k, r] of rows) {
    if (!present.has(k) && r.request.state !== 'ended') { r.row.remove(); rows.delete(k) }
  }
  all.forEach(learn)
  schedule()
}

let scheduled = false
function schedule() {
  if (scheduled) return
  scheduled = true
  requestAnimationFrame(() => { scheduled = false; draw() })
}

function draw() {
  const changed = [...dirty].map(k => rows.get(k)).filter(Boolean)
  changed.sort((a, b) => a.row.dataset.began - b.row.dataset.began || a.request.id - b.request.id)
  for (const r of changed) {
    show(r)
    if (!r.row.parentNode || r.request.state === 'ended' && r.row.parentNode === $('open')) $('ended').prepend(r.row)
  }
  dirty.clear()
  const ended = $('ended')
  for (let e = ended.lastElementChild; ended.childElementCount > mostRows && e;) {
    const before = e.previousElementSibling
    if (e.dataset.state === 'ended') { rows.delete(e.dataset.key); e.remove() }
    e = before
  }
  const shown = [...rows.values()].some(r => !r.row.hidden)
  $('no-requests').hidden = shown
  text($('no-requests'), rows.size ? 'No request matches.' : 'No request yet.')
  $('more-requests').hidden = !moreInFlight
  text($('more-requests'), `${moreInFlight} more in flight are not shown.`)
}

// tick is called each second: requests in flight get older.
export function tick() {
  if (paused) return
  for (const [k, r] of rows) {
    if (r.request.state === 'ended') continue
    if (r.row.parentNode === $('ended') && now() - Date.parse(r.request.start) > long) $('open').prepend(r.row)
    dirty.add(k)
  }
  if (dirty.size) schedule()
}

function pause() {
  paused = !paused
  mark($('pause'), 'aria-pressed', String(paused))
  $('pause').textContent = paused ? 'Resume' : 'Pause'
  if (paused) return
  const news = [...held.values()]
  held.clear()
  news.forEach(learn)
}

function filter() {
  for (const r of rows.values()) r.row.hidden = !matches(r)
  schedule()
}

$('pause').addEventListener('click', pause)
$('filter').addEventListener('input', filter)
$('which').addEventListener('change', filter)
$('filter').addEventListener('keydown', e => { if (e.key === 'Escape') { $('filter').value = ''; filter() } })
