import { randomUUID } from 'node:crypto'
import { asError, type Principal } from '@taskfleet/core'
import { databaseError, requireScope } from '@taskfleet/core/internal'
import { BatchRefused, FleetError, type Scope, UnknownOutcome, type WireError } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { Logger } from 'pino'
import type { z } from 'zod'
import type { Reads, ReadTurns } from './read-turns.ts'

/** The rule of one message: its schema, its scope, its handler. */
export interface Rule<Request> {
  /** Absent if the handler checks the scope. */
  scope?: Scope
  schema: z.ZodType<Request>
  handle(request: Request): Promise<object> | object
  /** What it reads; undefined if the answer is small. */
  reads?(request: unknown): Reads | undefined
}

/** The one place where every message is checked, authorised, executed and answered. */
export function guard<Request>(
  rule: Rule<Request>,
  principal: Principal,
  log: Logger,
  /** Called when the scope is missing. */
  onRefused: () => Promise<void>,
  turns?: ReadTurns,
): (...args: unknown[]) => void {
  return (...args) => {
    const ack = args.pop()
    // Without an acknowledgement there is no way to answer, and calling it would end the process.
    if (typeof ack !== 'function') return
    const reads = rule.reads?.(args[0])
    const answer = (): Promise<void> =>
      run(rule, principal, args, onRefused, () => reads === undefined || turns?.check())
        // An answer that can't be put into a message, such as a handler's with a cycle, is a failure of its own.
        .then((result) => void ack({ ok: true, ...result }))
        .catch((error: unknown) => void ack({ ok: false, error: toWireError(error, rule.scope, log) }))
    void (reads === undefined || turns === undefined ? answer() : turns.take(reads, answer))
  }
}

async function run<Request>(
  rule: Rule<Request>,
  principal: Principal,
  args: unknown[],
  onRefused: () => Promise<void>,
  admit: () => void,
): Promise<object> {
  try {
    if (rule.scope !== undefined) requireScope(principal, rule.scope)
  } catch (error) {
    await onRefused()
    throw error
  }
  if (args.length !== 1) throw new FleetError('BAD_REQUEST', 'A message is one object and an acknowledgement')
  const parsed = rule.schema.safeParse(args[0])
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    const field = issue?.path.join('.')
    throw new FleetError(
      'BAD_REQUEST',
      issue?.message ?? 'The message does not match its schema',
      field ? { field } : {},
    )
  }
  admit()
  return rule.handle(parsed.data)
}

/** A `FleetError` is sent as it is. Any other error is logged with its cause, and the client gets only a number. */
function toWireError(thrown: unknown, scope: Scope | undefined, log: Logger): WireError {
  const error = databaseError(thrown, { asked: scope === 'read' ? 'read' : 'write' }) ?? asError(thrown)
  if (error instanceof FleetError) {
    return {
      code: error.code,
      message: error.message,
      ...given({ field: error.field }),
      ...(error instanceof UnknownOutcome && error.ids.length > 0 ? { ids: [...error.ids] } : {}),
      ...(error instanceof BatchRefused ? { errors: [...error.entries] } : {}),
    }
  }
  const request = randomUUID().slice(0, 8)
  log.error({ err: error, request }, 'a request failed unexpectedly')
  return { code: 'INTERNAL', message: `An unexpected error; it is in the log under ${request}` }
}

/** Lets `rate` messages a second pass, with bursts of up to `burst`. */
export function tokenBucket(
  rate: number,
  burst: number = rate,
  now: () => number = () => performance.now(),
): () => boolean {
  let tokens = burst
  let at = now()
  return () => {
    const time = now()
    tokens = Math.min(burst, tokens + ((time - at) / 1_000) * rate)
    at = time
    if (tokens < 1) return false
    tokens -= 1
    return true
  }
}
