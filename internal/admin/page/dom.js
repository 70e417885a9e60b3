// What is shown comes from clients and servers, so it reaches the page as text
// only, and never as markup.

export const $ = id => document.getElementById(id)

// Control characters and those that turn or hide text are shown by their number.
const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/gu
export const visible = s => String(s ?? '').replace(unseen, c => `\\u{${c.codePointAt(0).toString(16)}}`)

// text sets the text of a node, if it is another: a selection in it stays.
export function text(node, s) {
  s = visible(s)
  if (node.textContent !== s) node.textContent = s
  return node
}

// make returns a new element with a class and children, which are nodes or text.
export function make(tag, className, ...children) {
  const e = document.createElement(tag)
  if (className) e.className = className
  for (const c of children) e.append(c instanceof Node ? c : visible(c))
  return e
}

// mark sets an attribute, or takes it away where the value says nothing.
export function mark(e, name, value) {
  if (value === undefined || value === null || value === false || value === '') e.removeAttribute(name)
  else if (e.getAttribute(name) !== String(value)) e.setAttribute(name, value === true ? '' : value)
}

// keyed makes the children of parent be those of items, in their order. A child
// whose key was there before stays the same element.
export function keyed(parent, items, key, create, update) {
  const before = new Map([...parent.children].map(e => [e.dataset.key, e]))
  let at = parent.firstElementChild
  for (const item of items) {
    const k = key(item)
    let e = before.get(k)
    before.delete(k)
    if (!e) {
      e = create(item)
      e.dataset.key = k
    }
    if (e === at) at = at.nextElementSibling
    else parent.insertBefore(e, at)
    update(e, item)
  }
  for (const e of before.values()) e.remove()
}

// The server's clock counts, not that of whoever looks. News of it is late, and
// that which is the least late is the best.
let offset = 0, offsets = []
export function setClock(now) {
  offsets = [Date.parse(now) - Date.now(), ...offsets].slice(0, 10)
  offset = Math.max(...offsets)
}
export const now = () => Date.now() + offset

const clock = new Intl.DateTimeFormat([], {hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23'})
export const timeOf = t => clock.format(new Date(t))

// timeElement shows a moment.
export function timeElement(t) {
  const e = make('time', '', timeOf(t))
  e.dateTime = t
  return e
}

// span says how long ms are, in two units at most.
export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000)), units = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']]
  const first = units.findIndex(([size]) => s >= size), said = []
  for (const [size, name] of units.slice(first < 0 ? 3 : first, first < 0 ? 4 : first + 2)) {
    const n = Math.floor(s / size) % (name === 'd' ? Infinity : name === 'h' ? 24 : 60)
    if (n || first < 0) said.push(`${n} ${name}`)
  }
  return said.join(' ')
}

// left counts down, by the second.
export function left(ms) {
  const s = Math.max(0, Math.floor(ms / 1000)), two = n => String(n).padStart(2, '0')
  return s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : `${Math.floor(s / 3600)}:${two(Math.floor(s % 3600 / 60))}:${two(s % 60)}`
}

// took says how long something of ms took.
export const took = ms => ms < 9.95 ? `${ms.toFixed(1)} ms` : ms < 999.5 ? `${Math.round(ms)} ms` : ms < 99500 ? `${(ms / 1000).toFixed(1)} s` : span(ms)

export const count = n => n.toLocaleString('en-US')
export const ruleName = r => (r.team ? r.team + '/' : '') + (r.rule ?? r.name ?? '')
