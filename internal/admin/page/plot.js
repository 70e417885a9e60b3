// Plots of what became of a rule's requests over time, drawn as SVG.

import {make, text, timeOf, took, span} from './dom.js'

const svg = (tag, className) => {
  const e = document.createElementNS('http://www.w3.org/2000/svg', tag)
  if (className) e.setAttribute('class', className)
  return e
}

const width = 300, height = 40, top = 3 // of the drawing, which is stretched to fit

// path draws values, leaving out where there are none. One on its own is a dot.
function path(values, most) {
  let d = '', pen = false
  values.forEach((v, i) => {
    if (v === null) { pen = false; return }
    const x = (i + .5) * width / values.length, y = height - v / most * (height - top)
    d += `${pen ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}${pen || values[i + 1] != null ? '' : 'h.01'}`
    pen = true
  })
  return d
}

const area = (values, most) => values.length ? `M0 ${height}${path(values, most).replace('M', 'L')}L${width} ${height}z` : ''
const number = v => v >= 9.95 ? v.toFixed(0) : v > 0 ? v.toFixed(1) : '0'
const rate = v => v >= .995 ? `${number(v)}/s` : `${number(v * 60)}/min`

// kinds are the two plots of a rule: what they are of, their lines, and what is
// said of the values at one place.
const kinds = {
  rate: {
    label: 'requests', lines: ['requests', 'failures'], keys: [['failures', 'failed']],
    area: 'requests',
    say: (p, i) => `${rate(p.requests[i])}${p.failures[i] > 0 ? `, ${rate(p.failures[i])} failed` : ''}`,
    most: m => `peak ${rate(m)}`,
  },
  latency: {
    label: 'latency', lines: ['p95', 'p50'], keys: [['p50', 'p50'], ['p95', 'p95']],
    say: (p, i) => p.p50[i] === null ? 'no answer' : `p50 ${took(p.p50[i])}, p95 ${took(p.p95[i])}`,
    most: m => `up to ${took(m)}`,
  },
}

// plot returns a figure of one kind, and how to give it new values.
export function plot(kind) {
  const k = kinds[kind], figure = make('figure', `plot ${kind}`), drawing = svg('svg'), what = make('span', 'what'), value = make('span', 'value')
  const label = make('span'), keys = k.keys.map(([name, said]) => make('span', `key ${name}`, said))
  what.append(label, ...keys)
  const lines = Object.fromEntries(k.lines.map(name => [name, svg('path', name)])), ground = svg('path', 'area'), cursor = svg('path', 'cursor')
  drawing.setAttribute('viewBox', `0 0 ${width} ${height}`)
  drawing.setAttribute('preserveAspectRatio', 'none')
  drawing.setAttribute('role', 'img')
  drawing.setAttribute('tabindex', '0')
  drawing.append(ground, ...Object.values(lines), cursor)
  figure.append(make('figcaption', '', what, value), drawing)
  let data = null, at = -1

  function read() {
    text(label, k.label)
    for (const key of keys) key.hidden = !data || key.classList.contains('failures') && !data.failures.some(v => v > 0)
    if (!data) { text(value, 'quiet'); cursor.setAttribute('d', ''); return }
    if (at < 0) {
      text(value, k.most(data.most))
      cursor.setAttribute('d', '')
      return
    }
    const x = (at + .5) * width / data.steps
    cursor.setAttribute('d', `M${x.toFixed(1)} 0V${height}`)
    text(value, `${timeOf(data.end - (data.steps - at - .5) * data.step * 1000).slice(0, data.step < 60 ? 8 : 5)} ${k.say(data, at)}`)
  }
  const move = to => { at = data ? Math.max(0, Math.min(data.steps - 1, to)) : -1; read() }
  drawing.addEventListener('pointermove', e => {
    const box = drawing.getBoundingClientRect()
    move(Math.floor((e.clientX - box.left) / box.width * (data?.steps ?? 0)))
  })
  drawing.addEventListener('pointerleave', () => { at = -1; read() })
  drawing.addEventListener('blur', () => { at = -1; read() })
  drawing.addEventListener('keydown', e => {
    const by = {ArrowLeft: -1, ArrowRight: 1, PageUp: -12, PageDown: 12}[e.key]
    if (!by || !data) return
    e.preventDefault()
    move((at < 0 ? data.steps : at) + by)
  })

  function update(range, rule) {
    data = rule?.requests ? {...rule, step: range.step, steps: range.steps, end: Date.parse(range.end)} : null
    if (data) data.most = Math.max(...k.lines.flatMap(name => data[name].map(v => v ?? 0)), 1e-9)
    const scale = data ? data.most * 1.05 : 1
    ground.setAttribute('d', data && k.area ? area(data[k.area], scale) : '')
    for (const [name, line] of Object.entries(lines)) {
      const values = data ? data[name].map(v => name === 'failures' && !(v > 0) ? null : v) : []
      line.setAttribute('d', path(values, scale))
    }
    const over = range ? span(range.step * range.steps * 1000).replace(/ 0 (s|min)$/, '') : ''
    drawing.setAttribute('aria-label', data ? `${k.label} over the last ${over}: ${k.most(data.most)}, at last ${k.say(data, data.steps - 1)}` : `${k.label}: nothing in the last ${over}`)
    read()
  }
  return {figure, update}
}
