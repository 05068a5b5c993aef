import { setTimeout as sleep } from 'node:timers/promises'
import { FleetError, UnrecoverableError } from '@taskfleet/protocol'
import { defineTask, type TaskFactory } from '@taskfleet/worker'
import { z } from 'zod'

const step = z.discriminatedUnion('do', [
  z.object({ do: z.literal('progress'), done: z.number(), total: z.number() }),
  z.object({ do: z.literal('log'), message: z.string() }),
  z.object({ do: z.literal('event'), name: z.string(), data: z.unknown() }),
  z.object({ do: z.literal('checkpoint'), state: z.unknown() }),
  /** Ends when the signal is aborted, by throwing its reason. */
  z.object({ do: z.literal('waitForAbort') }),
  /** Goes on for ever and ignores the signal. */
  z.object({ do: z.literal('ignoreAbort') }),
  z.object({ do: z.literal('sleep'), ms: z.number() }),
  /** Keeps the event loop busy. */
  z.object({ do: z.literal('block'), ms: z.number() }),
  z.object({
    do: z.literal('fail'),
    times: z.number().default(1_000),
    code: z.string().default('TEST'),
    fatal: z.boolean().default(false),
  }),
  z.object({ do: z.literal('return'), value: z.unknown() }),
  z.object({ do: z.literal('returnCheckpoint') }),
  z.object({ do: z.literal('returnLarge'), bytes: z.number() }),
  z.object({ do: z.literal('exit') }),
])

export type Step = z.input<typeof step>

export const scriptedInput = z.object({ steps: z.array(step), label: z.string().optional() })

/** One handler for all tests; its input scripts it. */
export function scriptedTask(
  over: { timeout?: number; base?: number; name?: string; version?: number } = {},
): TaskFactory<typeof scriptedInput> {
  return defineTask({
    name: over.name ?? 'scripted',
    input: scriptedInput,
    ...(over.version === undefined ? {} : { version: over.version, upgrade: { 1: (old: never) => old } }),
    retry: { maxAttempts: 5, backoff: { base: over.base ?? 10, jitter: false } },
    ...(over.timeout === undefined ? {} : { timeout: over.timeout }),
    async run({ input, task, progress, checkpoint, log, socket, signal }) {
      socket.on('echo', (data) => data)
      for (const one of input.steps) {
        switch (one.do) {
          case 'progress':
            progress({ done: one.done, total: one.total, unit: 'bytes' })
            break
          case 'log':
            log.info(one.message)
            break
          case 'event':
            socket.emit(one.name, one.data)
            break
          case 'checkpoint':
            await checkpoint.save(one.state)
            break
          case 'waitForAbort':
            await new Promise((_, reject) => {
              if (signal.aborted) reject(signal.reason)
              signal.addEventListener('abort', () => reject(signal.reason))
            })
            break
          case 'ignoreAbort':
            await new Promise(() => undefined)
            break
          case 'sleep':
            await sleep(one.ms, undefined, { signal })
            break
          case 'block':
            for (const until = performance.now() + one.ms; performance.now() < until; );
            break
          case 'fail':
            if (task.attempt <= one.times) {
              throw one.fatal
                ? new UnrecoverableError(one.code, 'as scripted')
                : new FleetError(one.code, 'as scripted')
            }
            break
          case 'return':
            return one.value
          case 'returnLarge':
            return 'x'.repeat(one.bytes)
          case 'returnCheckpoint':
            return checkpoint.state
          case 'exit':
            process.exit(1)
        }
      }
      return null
    },
  })
}
