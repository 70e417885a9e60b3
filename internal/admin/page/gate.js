// What a gate has in place of the tokens and sessions of a proxy: the keys by
// which it verifies, and what it denied.

import {$, make, text, mark, keyed, now, span, count} from './dom.js'

export function tiles(report, requests, failures, perMinute) {
  const g = report.gate, t = report.traffic, denied = g.denials.reduce((n, d) => n + d.count, 0)
  return [
    ['Requests', count(requests), `${count(perMinute)}/min`],
    ['Denied', count(denied), ''],
    ['Failed', count(failures), 'denied ones, too'],
    ['In flight', count(t.in_flight), t.streams ? `${count(t.streams)} stream${t.streams === 1 ? '' : 's'}` : ''],
    g.store ? ['MCP sessions', g.store.up ? 'shared' : 'unknown', 'in Redis'] : ['MCP sessions', count(g.sessions), ''],
    ['Tenants', count(g.keys.length), ''],
  ]
}

const item = (...parts) => make('li', '', make('span', 'name raw'), make('span', 'count'), make('span', 'sub raw'), ...parts)

function fill(e, name, n, sub) {
  text(e.querySelector('.name'), name)
  text(e.querySelector('.count'), n)
  text(e.querySelector('.sub'), sub)
}

const since = t => `${span(now() - Date.parse(t))} ago`

export function show(g) {
  $('gate').hidden = false
  $('proxy').hidden = true
  text($('rules-title'), 'Routes')
  text($('of'), 'Route')
  text($('no-rules'), 'No route is configured.')
  keyed($('keys'), g.keys, k => k.tenant, () => item(), (e, k) => {
    fill(e, k.tenant, `${count(k.held)} key${k.held === 1 ? '' : 's'}`, k.fetched ? `had from the authority ${since(k.fetched)}` : 'not had yet')
    mark(e, 'data-bad', !k.held)
  })
  const exchanging = g.routes.filter(r => r.on_behalf_of)
  $('exchanged').hidden = !exchanging.length
  const results = exchanging.flatMap(r => Object.entries(r.exchanges ?? {}).map(([result, n]) => ({...n, result, path: r.path, scopes: r.on_behalf_of.join(' ')})))
  $('no-exchanges').hidden = results.length > 0
  keyed($('exchanges'), results, x => `${x.path} ${x.result}`, () => item(), (e, x) => {
    fill(e, `${x.path}: ${x.result}`, `${count(x.count)}×`, `for ${x.scopes}, last ${since(x.last)}`)
    mark(e, 'data-bad', x.result !== 'ok')
  })
  $('no-denials').hidden = g.denials.length > 0
  keyed($('denials'), g.denials, d => d.reason, () => item(), (e, d) => {
    fill(e, d.reason, `${count(d.count)}×`, ['last', d.name && `of ${d.name}`, `at ${d.route}`, since(d.last)].filter(Boolean).join(' '))
  })
}

// note says of a request what it asked for, of whom, and why it was denied.
export function note(q) {
  return [q.exchange && q.exchange !== 'ok' && `exchange: ${q.exchange}`, [q.message, q.name].filter(Boolean).join(' '), q.decision === 'denied' && `denied: ${q.reason || q.problem || 'the client left'}`, q.caller && `caller ${q.caller}`].filter(Boolean)
}
