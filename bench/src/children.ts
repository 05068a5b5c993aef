import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Bed } from './bed.ts'

/** A process of its own that carries out requests, one at a time. */
export interface Child<Verbs> {
  ask<V extends keyof Verbs & string>(
    verb: V,
    ...given: Parameters<Asked<Verbs[V]>>
  ): Promise<Awaited<ReturnType<Asked<Verbs[V]>>>>
  /** Stops the process until `resume`. */
  pause(): void
  resume(): void
}

// biome-ignore lint/suspicious/noExplicitAny: stands for any verb's parameters
type Asked<F> = F extends (...given: any[]) => unknown ? F : never
type Question = { verb: string; given: unknown[] }
type Answer = { answer?: unknown; error?: string }

/** Stops with the bed. @param file beside this one; it calls `answerWith` */
export async function startChild<Verbs>(bed: Bed, file: string): Promise<Child<Verbs>> {
  const path = fileURLToPath(new URL(file, import.meta.url))
  const child: ChildProcess = fork(path, [], {
    execArgv: ['--expose-gc', ...process.execArgv.filter((flag) => flag !== '--expose-gc')],
    serialization: 'advanced',
    env: { ...process.env, NODE_ENV: 'production' },
  })
  const ended = once(child, 'exit').then(() => ({ error: 'ended' }))
  bed.defer(async () => {
    child.kill('SIGCONT')
    // It ends by itself, so that a profile is written where one was asked for.
    if (child.connected) child.disconnect()
    await ended
  })
  const heard = async (): Promise<Answer> =>
    Promise.race([once(child, 'message').then(([answer]) => answer as Answer), ended])
  const { error } = await heard()
  if (error !== undefined) throw new Error(`${file}: ${error}`)
  let turn: Promise<unknown> = Promise.resolve()
  const ask = async (question: Question): Promise<unknown> => {
    child.send(question)
    const { answer, error } = await heard()
    if (error !== undefined) throw new Error(`${file}: ${error}`)
    return answer
  }
  return {
    ask: (verb, ...given) => {
      const asked = turn.then(() => ask({ verb, given }))
      turn = asked.catch(() => undefined)
      return asked as never
    },
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
  }
}

/** In the child. */
export function answerWith(verbs: object): void {
  process.on('message', ({ verb, given }: Question) => {
    const done = Promise.resolve().then(() =>
      (verbs as Record<string, (...given: unknown[]) => unknown>)[verb]!(...given),
    )
    done.then(
      (answer) => process.send!({ answer } satisfies Answer),
      (error: Error) => process.send!({ error: String(error.stack) } satisfies Answer),
    )
  })
  process.on('disconnect', () => process.exit())
  process.send!({})
}

/** The memory of this process after garbage collection, in bytes. */
export async function memoryHeld(): Promise<{ heap: number; rss: number }> {
  for (let turn = 0; turn < 4; turn += 1) {
    globalThis.gc?.()
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const { heapUsed, external, rss } = process.memoryUsage()
  return { heap: heapUsed + external, rss }
}
