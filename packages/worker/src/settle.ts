import { setTimeout as sleep } from 'node:timers/promises'
import { asError } from '@taskfleet/core'
import { judgeWriteFailure, Outcome, toTaskError } from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { Executed, ExecutionDeps } from './execute-task.ts'
import type { RunningTask } from './running-task.ts'

/** The longest pause between tries to record an end that the database refuses, in milliseconds. */
const REFUSED_PAUSE_MS = 30_000
/** How often to try to record an end that fails for an unknown reason. */
const UNKNOWN_TRIES = 5

/**
 * Repeats the write that records the outcome until the server has answered or the session has ended. The lease in its filter makes sure
 * that a late result never replaces another one. An outcome that the server refuses is replaced once by a plain failure with the
 * reason, so that each attempt ends.
 */
export async function settle(run: RunningTask, wanted: Outcome, deps: ExecutionDeps): Promise<Executed> {
  const { store, sessions, log } = deps
  let outcome = wanted
  let progress = run.lastProgress
  let replaced = false
  for (let pause = 100, tries = 1; ; pause = Math.min(1_000, pause * 2), tries += 1) {
    try {
      const settled = await store.settle({ ...run.claim, ...given({ naming: run.naming }) }, outcome, progress)
      return { outcome, settled }
    } catch (error) {
      const { verb } = outcome
      if (isRefusal(error, tries)) {
        const said = { err: asError(error), task: run.id, verb, code: 'END_REFUSED' }
        if (replaced) {
          log.error(
            said,
            'the database refuses even a plain failure; the slot is freed, and the write is repeated from time to time',
          )
          deps.onRefused?.(run)
          void settleLater(run, [wanted, outcome], deps)
          return { outcome, settled: { owned: false } }
        }
        log.error(said, 'the database refuses to record an end; a plain failure is recorded instead')
        outcome = Outcome.failed(toTaskError(refusedEnd(error, verb), run.readable))
        // The database may have refused the progress.
        progress = undefined
        replaced = true
        tries = 0
        continue
      }
      log.warn({ err: asError(error), task: run.id, verb }, 'an end could not be recorded yet')
      if (sessions.isDead(run.session)) return { outcome, settled: { owned: false } }
      await sleep(pause)
    }
  }
}

/**
 * Tries to record the outcome, or else the plain failure in its place, until the database accepts one of them. Holds no slot, and ends
 * with the session: then the task is taken back like any other.
 */
async function settleLater(run: RunningTask, ends: readonly Outcome[], deps: ExecutionDeps): Promise<void> {
  const { store, sessions, log } = deps
  for (let pause = 1_000; ; pause = Math.min(REFUSED_PAUSE_MS, pause * 2)) {
    await sleep(pause, undefined, { ref: false })
    for (const outcome of ends) {
      if (sessions.isDead(run.session)) return
      try {
        await store.settle(run.claim, outcome)
        return
      } catch (error) {
        log.debug({ err: asError(error), task: run.id }, 'the database still refuses the end of an attempt')
      }
    }
  }
}

function isRefusal(error: unknown, tries: number): boolean {
  const failure = judgeWriteFailure(error)
  return failure === 'refused' || (failure === 'unknown' && tries >= UNKNOWN_TRIES)
}

function refusedEnd(error: unknown, verb: Outcome['verb']): FleetError {
  const { message, code } = asError(error) as Error & { code?: unknown }
  const number = typeof code === 'number' ? ` (code ${code})` : ''
  const how = `The attempt ended with '${verb}', which the database refuses`
  return new FleetError('END_REFUSED', `${how}${number}: ${message}`, { cause: error })
}
