import { STATUSES, type TaskStatus } from '@taskfleet/protocol'
import { changedSearch } from './search.ts'
import type { TaskSearch } from './task-search.ts'

/** A part of a search text: `status:failed`, `input.to:~user42`, or a word of the title. */
interface Token {
  /** Undefined for a word of the title. */
  key: string | undefined
  value: string
}

type Condition = Record<string, unknown>

const UNITS: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** The dates of tasks, by their names in a search. */
const DATES: Record<string, string> = {
  created: 'createdAt',
  started: 'startedAt',
  ended: 'finishedAt',
  due: 'runAt',
  deadline: 'deadline',
}
const TEXTS: Record<string, string> = {
  error: 'error.code',
  title: 'title',
  key: 'key',
  schedule: 'schedule',
  event: 'event',
}
const NUMBERS: Record<string, string> = {
  priority: 'priority',
  attempt: 'attempt',
  failures: 'failures',
  version: 'version',
}
/** What only some tasks have: `label.customer`, `input.to`. */
const DEEP = /^(labels?|input|output|progress)(\.[A-Za-z0-9_-]+)+$/
const AN_ID = /^[0-9a-f]{24}$/i

/** The keys that a search may have, for proposals. */
const TOKEN_KEYS = [
  ...['status', 'name', 'queue', 'host'],
  ...Object.keys(DATES),
  ...Object.keys(TEXTS),
  ...Object.keys(NUMBERS),
  'label.',
  'input.',
  'output.',
]

/** Splits at spaces. A value with spaces is quoted: `label.customer:"Smith & Sons"`. */
function splitTokens(text: string): Token[] {
  return [...text.matchAll(/(?:([A-Za-z][\w.-]*):)?("[^"]*"?|\S+)/g)].map(([, key, value = '']) => ({
    key,
    value: value.startsWith('"') ? value.replace(/^"|"$/g, '') : value,
  }))
}

const written = ({ key, value }: Token): string => {
  const quoted = /[\s"]/.test(value) || value === '' ? `"${value.replaceAll('"', '')}"` : value
  return key === undefined ? quoted : `${key}:${quoted}`
}

/**
 * What a search text means: statuses, a name, a queue and a host are filters of their own, all else stays in `q`. `problem` says why a
 * token can't be used.
 */
export function parseTokens(text: string): { search: TaskSearch; problem: string | undefined } {
  const search: TaskSearch = {}
  const rest: Token[] = []
  let problem: string | undefined
  for (const token of splitTokens(text)) {
    const { key, value } = token
    if (key === 'status') {
      const names = value.split(',')
      const wrong = names.find((name) => !STATUSES.includes(name as TaskStatus))
      if (wrong === undefined) search.status = STATUSES.filter((status) => names.includes(status))
      else problem ??= `'${wrong}' is no status: ${STATUSES.join(', ')}`
    } else if (key === 'name' || key === 'queue' || key === 'host') search[key] = value
    else if (key === 'handler') search.name = value
    else {
      rest.push(token)
      problem ??= conditionOf(token, 0) === undefined ? problemOf(token) : undefined
    }
  }
  const q = rest.map(written).join(' ')
  return { search: changedSearch<TaskSearch>(search, { q }), problem }
}

/** The search as one text, which `parseTokens` reads again. */
export function writeTokens({ status, name, queue, host, q }: TaskSearch): string {
  const filters: Token[] = [
    { key: 'status', value: status?.join(',') ?? '' },
    { key: 'name', value: name ?? '' },
    { key: 'queue', value: queue ?? '' },
    { key: 'host', value: host ?? '' },
  ]
  return [...filters.filter(({ value }) => value !== '').map(written), ...(q === undefined ? [] : [q])].join(' ')
}

/** The value of a token in a search text. */
export function tokenOf(q: string, key: string): string | undefined {
  return splitTokens(q).find((token) => token.key === key)?.value
}

/** A search text with another value of a token, or without it. */
export function withToken(q: string, key: string, value: string | undefined): string {
  const others = splitTokens(q).filter((token) => token.key !== key)
  return [...others, ...(value === undefined ? [] : [{ key, value }])].map(written).join(' ')
}

/**
 * The filter that the tokens of `q` mean. One that can't be used is left out.
 * @param now the server's time in milliseconds
 */
export function tokenFilter(q: string, now: number): Condition {
  const conditions = splitTokens(q).flatMap<Condition>((token) => conditionOf(token, now) ?? [])
  const paths = conditions.flatMap(Object.keys)
  if (new Set(paths).size < paths.length) return { $and: conditions }
  return Object.assign({}, ...conditions)
}

function conditionOf({ key, value }: Token, now: number): Condition | undefined {
  if (value === '') return undefined
  if (key === undefined) return AN_ID.test(value) ? { _id: value.toLowerCase() } : { title: { $contains: value } }
  if (key === 'id') return AN_ID.test(value) ? { _id: value.toLowerCase() } : undefined
  if (Object.hasOwn(DATES, key)) return dateCondition(DATES[key]!, value, now)
  if (Object.hasOwn(NUMBERS, key)) return numberCondition(NUMBERS[key]!, value)
  if (Object.hasOwn(TEXTS, key)) return textCondition(TEXTS[key]!, value, [value])
  if (!DEEP.test(key)) return undefined
  const path = key.replace(/^label\./, 'labels.')
  if (path.startsWith('labels.')) return textCondition(path, value, [value])
  return numberCondition(path, value, true) ?? textCondition(path, value, asStored(value))
}

/** A part of a text, all that have one, or exactly this one. */
function textCondition(path: string, value: string, exact: unknown[]): Condition | undefined {
  if (value === '*') return { [path]: { $exists: true } }
  if (!value.startsWith('~')) return { [path]: exact.length === 1 ? exact[0] : { $in: exact } }
  return value.length > 1 ? { [path]: { $contains: value.slice(1) } } : undefined
}

/** The values that JSON may have stored for a word. */
function asStored(value: string): unknown[] {
  if (value === 'true' || value === 'false') return [value, value === 'true']
  return value !== '' && Number.isFinite(Number(value)) ? [value, Number(value)] : [value]
}

/** `3`, `>3`, `<=3`. */
function numberCondition(path: string, value: string, onlyCompared = false): Condition | undefined {
  const [, sign = '', digits = ''] = /^([<>]=?)?(-?\d+(?:\.\d+)?)$/.exec(value) ?? []
  if (digits === '' || (onlyCompared && sign === '')) return undefined
  return { [path]: sign === '' ? Number(digits) : { [COMPARED[sign]!]: Number(digits) } }
}
const COMPARED: Record<string, string> = { '<': '$lt', '<=': '$lte', '>': '$gt', '>=': '$gte' }

/** `<1h`: within the last hour, or the next one for dates to come; `>1h`: longer ago or later. */
function dateCondition(path: string, value: string, now: number): Condition | undefined {
  if (value === '*') return { [path]: { $exists: true } }
  const [, sign, amount, unit] = /^([<>])(\d{1,6})([smhd])$/.exec(value) ?? []
  if (sign === undefined) return undefined
  const ms = Number(amount) * UNITS[unit!]!
  const isAhead = path === 'runAt' || path === 'deadline'
  const at = new Date(isAhead ? now + ms : now - ms).toISOString()
  return { [path]: { [(sign === '<') === isAhead ? '$lte' : '$gte']: at } }
}

function problemOf({ key = '', value }: Token): string {
  if (value === '' || value === '~') return `'${key}:' needs a value`
  if (key === 'id') return `'${value}' is no id of a task: 24 hexadecimal digits`
  if (Object.hasOwn(DATES, key))
    return `'${value}' is no time: write ${key}:<1h for the last hour, ${key}:>2d for longer ago`
  if (Object.hasOwn(NUMBERS, key)) return `'${value}' is no number: write ${key}:3 or ${key}:>3`
  return `'${key}' can't be searched: ${TOKEN_KEYS.join(', ')}`
}

/** Whole search texts that complete what was typed, for a list of proposals. */
export function proposals(text: string, known: Readonly<Record<string, readonly string[]>>): string[] {
  const at = text.lastIndexOf(' ') + 1
  const [head, last] = [text.slice(0, at), text.slice(at)]
  const colon = last.indexOf(':')
  if (colon === -1)
    return TOKEN_KEYS.filter((key) => key.startsWith(last)).map((key) => `${head}${key}${key.endsWith('.') ? '' : ':'}`)
  const key = last.slice(0, colon)
  const values = key in DATES ? ['<15m', '<1h', '<24h', '>1h'] : (known[key] ?? [])
  return values.map((value) => `${head}${written({ key, value })}`)
}
