import type { LogLevel } from '@taskfleet/protocol'
import { ObjectId } from 'mongodb'
import type { HandlerContext, PredecessorResult, ProgressUpdate } from '../handler.ts'
import { Task } from '../task.ts'

export interface TestContextOptions {
  input?: unknown
  checkpoint?: unknown
  save?: (state: unknown) => Promise<void>
  owned?: () => boolean
  results?: [string, PredecessorResult][]
  onLog?: (level: LogLevel, message: string) => void
}

/** A handler's context that records everything. */
export function testContext(options: TestContextOptions = {}) {
  const { input, save, owned = () => true, onLog } = options
  const controller = new AbortController()
  const progress: ProgressUpdate[] = []
  const lines: { level: LogLevel; message: string }[] = []
  const events: { name: string; data: unknown }[] = []
  const answers = new Map<string, (data: unknown) => unknown>()
  const waiting = new Set<() => void>()
  const log = (level: LogLevel) => (message: string) => {
    lines.push({ level, message })
    onLog?.(level, message)
    for (const look of waiting) look()
  }
  let state = options.checkpoint
  const claim = {
    leaseId: 'lease-1',
    task: {
      _id: new ObjectId('0123456789abcdef01234567'),
      name: 'test',
      attempt: 3,
      queue: 'q',
      key: 'k',
      deadline: new Date(9_000),
      worker: 'w',
    },
  } as unknown as ConstructorParameters<typeof Task>[0]
  const context: HandlerContext<unknown> = {
    input,
    task: new Task(claim, { trusted: owned, proven: async () => undefined, confirm: async () => owned() }),
    signal: controller.signal,
    progress: (update) => progress.push(update),
    log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
    results: async () => new Map(options.results),
    socket: {
      emit: (name, data) => events.push({ name, data }),
      on: (name, answer) => {
        answers.set(name, answer)
        return () => answers.delete(name)
      },
    },
    checkpoint: {
      get state() {
        return state
      },
      save: async (next) => {
        await save?.(next)
        state = next
      },
    },
  }
  return {
    context,
    progress,
    lines,
    events,
    answers,
    abort: (reason: unknown) => controller.abort(reason),
    /** The first line that matches, once it has been logged. */
    line(pattern: RegExp): Promise<RegExpExecArray> {
      return new Promise((resolve) => {
        const look = (): void => {
          const found = lines.map(({ message }) => pattern.exec(message)).find((match) => match !== null)
          if (found === undefined || found === null) return
          waiting.delete(look)
          resolve(found)
        }
        waiting.add(look)
        look()
      })
    },
  }
}
