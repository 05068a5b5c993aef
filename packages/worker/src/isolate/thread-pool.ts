import { fileURLToPath } from 'node:url'
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import { asError } from '@taskfleet/core'
import { Piscina } from 'piscina'
import { FROM_SOURCES, ISOLATE_THREAD } from '../files.ts'
import { threadArguments } from './exec-argv.ts'
import type { Crash, IsolatePool, Occupant, PoolOptions, Report, Seat, SeatRequest } from './messages.ts'
import { describeError } from './wire.js'

const MAIN = fileURLToPath(ISOLATE_THREAD)
/** The runner's slots are the limit: a claimed task never waits for a thread. */
const MOST = 1_000

/** Threads that run one task at a time each; one pool for each limit of memory. */
export class ThreadPool implements IsolatePool {
  readonly #options: PoolOptions
  readonly #pools = new Map<number | undefined, Piscina>()
  readonly #seats = new Set<Seat>()

  constructor(options: PoolOptions) {
    this.#options = options
  }

  take({ memoryMb }: SeatRequest, occupant: Occupant): Seat {
    const { port1, port2 } = new MessageChannel()
    const killer = new AbortController()
    let ended: Report | undefined
    const receive = (report: Report): void => {
      // Passed on when the thread is free again, so that the next task can use it.
      if (report.kind === 'ended') ended = report
      else occupant.onReport(report)
    }
    // Messages that the thread sent before its end may still wait in the port.
    const hearAll = (): void => {
      for (let got = receiveMessageOnPort(port1); got !== undefined; got = receiveMessageOnPort(port1)) {
        receive(got.message as Report)
      }
    }
    port1.on('message', receive)
    const closed = new Promise<void>((resolve) => port1.once('close', () => resolve()))
    const seat: Seat = {
      send: (order) => port1.postMessage(order),
      kill: () => {
        killer.abort()
        return closed
      },
      free: () => {
        port1.close()
        this.#seats.delete(seat)
      },
    }
    this.#seats.add(seat)
    this.#pool(memoryMb)
      .run({ port: port2 }, { transferList: [port2], signal: killer.signal })
      .then(
        () => {
          hearAll()
          if (ended !== undefined) occupant.onReport(ended)
          else occupant.onCrash({ how: 'ended without a result' })
        },
        async (error: unknown) => {
          hearAll()
          // No thread may have taken the port yet.
          port2.close()
          // A kill rejects at once. The thread holds the other end of the port until it has ended.
          if (killer.signal.aborted) await closed
          seat.free()
          occupant.onCrash(crashOf(error, memoryMb))
        },
      )
    return seat
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#seats].map((seat) => seat.kill()))
    const pools = [...this.#pools.values()]
    this.#pools.clear()
    await Promise.all(pools.map((pool) => pool.destroy()))
  }

  #pool(memoryMb: number | undefined): Piscina {
    const made = this.#pools.get(memoryMb)
    if (made !== undefined) return made
    const pool = new Piscina({
      filename: MAIN,
      minThreads: 0,
      maxThreads: MOST,
      idleTimeout: this.#options.idleMs,
      // An idle thread must not block its event loop: a handler may leave connections open for the next task.
      atomics: 'disabled',
      env: this.#options.env() as Record<string, string>,
      execArgv: threadArguments({ fromSources: FROM_SOURCES }),
      ...(memoryMb === undefined ? {} : { resourceLimits: { maxOldGenerationSizeMb: memoryMb } }),
    })
    pool.on('error', (error) =>
      this.#options.log.warn({ err: asError(error) }, "a handler's thread died between two tasks"),
    )
    this.#pools.set(memoryMb, pool)
    return pool
  }
}

function crashOf(thrown: unknown, memoryMb: number | undefined): Crash {
  const error = asError(thrown) as Error & { code?: unknown }
  if (error.name === 'AbortError') return { how: 'was ended' }
  if (error.code === 'ERR_WORKER_OUT_OF_MEMORY') {
    return { how: `ran out of memory${memoryMb === undefined ? '' : ` (memoryMb is ${memoryMb})`}` }
  }
  const exit = /^worker exited with code: (-?\d+)$/.exec(error.message)
  if (exit !== null) return { how: `exited with code ${exit[1]}` }
  return { how: 'died', uncaught: describeError(error) }
}
