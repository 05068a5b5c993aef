import type { Content } from './content.ts'
import type { ReplyPlan } from './reply-plan.ts'

type Fault = (plan: ReplyPlan, content: Content) => ReplyPlan

const half = (plan: ReplyPlan) => plan.from + Math.floor((plan.to - plan.from) / 2)

const headers = (plan: ReplyPlan, changed: Record<string, string | undefined>): ReplyPlan => {
  const merged = Object.entries({ ...plan.headers, ...changed })
  return {
    ...plan,
    headers: Object.fromEntries(merged.filter((entry): entry is [string, string] => entry[1] !== undefined)),
  }
}

const rawHead =
  (...lines: string[]): Fault =>
  (plan) => ({ ...plan, rawHead: ['HTTP/1.1 200 OK', ...lines] })

/** Whole answers, so that it looks as if the server knew nothing of ranges. */
const whole = (plan: ReplyPlan, content: Content): ReplyPlan =>
  headers(
    { ...plan, status: 200, from: 0, to: content.size },
    { 'content-length': String(content.size), 'content-range': undefined },
  )

/** Ways in which a server misbehaves, by the value of `?fault=`. */
const faults = {
  'no-length': (plan) => headers(plan, { 'content-length': undefined }),
  'until-close': (plan) => headers(plan, { 'content-length': undefined, connection: 'close', 'transfer-encoding': '' }),
  'short-length': (plan) => headers(plan, { 'content-length': String(half(plan) - plan.from) }),
  'long-length': (plan) => ({
    ...headers(plan, { 'content-length': String(plan.to - plan.from + 1000) }),
    ending: 'drop',
  }),
  'negative-length': rawHead('content-length: -5'),
  'two-lengths': rawHead('content-length: 5', 'content-length: 7'),
  'length-and-chunked': rawHead('content-length: 5', 'transfer-encoding: chunked'),
  'not-http': (plan) => ({ ...plan, rawHead: ['SSH-2.0-OpenSSH_9.9'] }),
  gzip: (plan) => headers(plan, { 'content-encoding': 'gzip' }),
  'weak-etag': (plan) => headers(plan, { etag: `W/${plan.headers.etag}` }),
  'no-etag': (plan) => headers(plan, { etag: undefined }),
  endless: (plan) => ({ ...headers(plan, { 'content-length': undefined }), ending: 'endless' }),
  stall: (plan) => ({ ...plan, to: half(plan), ending: 'silence' }),
  silent: (plan) => ({ ...plan, rawHead: [], ending: 'silence' }),
} satisfies Record<string, Fault>

/** The same for requests with a `Range` only. */
const rangeFaults = {
  'ignore-range': whole,
  'full-with-content-range': (plan, content) =>
    headers(whole(plan, content), { 'content-range': plan.headers['content-range'] }),
  'other-start': (plan, { size }) =>
    headers(
      { ...plan, from: plan.from - 1 },
      {
        'content-range': `bytes ${plan.from - 1}-${plan.to - 1}/${size}`,
        'content-length': `${plan.to - plan.from + 1}`,
      },
    ),
  'wrong-total': (plan, { size }) =>
    headers(plan, { 'content-range': `bytes ${plan.from}-${plan.to - 1}/${size + 7}` }),
  'short-range': (plan, { size }) =>
    headers(
      { ...plan, to: half(plan) + 1 },
      {
        'content-range': `bytes ${plan.from}-${half(plan)}/${size}`,
        'content-length': `${half(plan) + 1 - plan.from}`,
      },
    ),
  'other-etag': (plan) => headers(plan, { etag: '"another"' }),
  unsatisfiable: (plan, { size }) => unsatisfiable(plan, size),
  'unsatisfiable-shorter': (plan, { size }) => unsatisfiable(plan, size - 9),
} satisfies Record<string, Fault>

function unsatisfiable(plan: ReplyPlan, size: number): ReplyPlan {
  return headers(
    { ...plan, status: 416, from: 0, to: 0 },
    { 'content-range': `bytes */${size}`, 'content-length': '0' },
  )
}

export function applyFault(name: string, plan: ReplyPlan, content: Content, ranged: boolean): ReplyPlan {
  const table: Record<string, Fault> = ranged ? { ...faults, ...rangeFaults } : faults
  return table[name]?.(plan, content) ?? plan
}
