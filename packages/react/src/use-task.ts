import type { TaskWatch, WatchSource } from '@taskfleet/client'
import { FleetError, hasEnded, type LogLine, type Progress, type TaskEnd, type TaskRow } from '@taskfleet/protocol'
import { useCallback } from 'react'
import { type Shared, type TryAgain, useFleetClient, useSharedView } from './fleet-provider.tsx'
import { keepOpen } from './keep-open.ts'
import type { Start } from './shared-views.ts'

const LINES_KEPT = 1_000

interface Watched {
  /** As the database has it; undefined before the first answer, and where there is no such task. */
  readonly task: TaskRow | undefined
  /** The latest, from the task's own socket at up to 10 Hz, else as it was stored last. */
  readonly progress: Progress | undefined
  /** The lines since it is looked at, and the 200 before; at most the last thousand. */
  readonly log: readonly LogLine[]
  /** Where the details come from at the moment. */
  readonly source: WatchSource
  /** How it ended; undefined while it can still go on. */
  readonly end: TaskEnd | undefined
  /** Why the task can't be watched, such as `BAD_ID` as its `code`, or `FORBIDDEN` since the key may not see it any more. */
  readonly error: FleetError | undefined
}

export interface TaskView extends Watched, TryAgain {
  /** @throws {FleetError} what the gateway refuses with, such as `ALREADY_ENDED` */
  cancel(reason?: string): Promise<void>
  /** Asks the handler. @throws {FleetError} `NOT_CONNECTED`, `NO_ANSWER`, `NO_SUCH_MESSAGE` */
  message(name: string, data?: unknown): Promise<unknown>
}

interface Held extends Watched {
  readonly watch: TaskWatch | undefined
}

const NOTHING: Held = {
  task: undefined,
  progress: undefined,
  log: [],
  source: { state: 'connecting' },
  end: undefined,
  error: undefined,
  watch: undefined,
}

/**
 * Follows one task while the component is mounted: on its own socket while it runs, to its next host when it moves.
 *
 * @param watch false for one that nobody sees at the moment, such as a row that is scrolled away
 */
export function useTask(id: string, { watch: isWatched = true }: { watch?: boolean } = {}): TaskView {
  const { watch, ...watched } = useSharedView<Held>(isWatched ? `task ${id}` : undefined, NOTHING, (shared) =>
    follow(shared, id),
  )
  const client = useFleetClient()
  const cancel = useCallback(
    async (reason?: string) => {
      const { refused } = await client.tasks.cancel({ id, ...(reason === undefined ? {} : { reason }) })
      for (const { error } of refused) throw new FleetError(error.code, error.message)
    },
    [client, id],
  )
  const message = useCallback(
    async (name: string, data?: unknown) => {
      if (watch === undefined) throw new FleetError('NOT_CONNECTED', 'The task is not being watched yet')
      return watch.message(name, data)
    },
    [watch],
  )
  return { ...watched, cancel, message }
}

function follow({ client, places }: Shared, id: string): Start<Held> {
  return (tell) => {
    const place = places.take()
    const kept = keepOpen(client, {
      open: async (lost) => {
        await place.ready
        return client.watchTask(id, {
          onTask: (task) => tell((held) => withTask(held, task)),
          onProgress: (progress) => tell((held) => ({ ...held, progress })),
          onLog: (line) => tell((held) => ({ ...held, log: [...held.log, line].slice(-LINES_KEPT) })),
          onSource: (source) => tell((held) => ({ ...held, source })),
          onEnd: (end) => tell((held) => ({ ...held, end })),
          onRefused: lost,
        })
      },
      opened: (watch) => tell((held) => ({ ...held, watch, source: watch.source, error: undefined })),
      close: (watch) => watch.close(),
      failed: (error) => tell(() => ({ ...NOTHING, error })),
    })
    return {
      ...kept,
      close: () => {
        kept.close()
        place.leave()
      },
    }
  }
}

function withTask(held: Held, task: TaskRow): Held {
  const { progress: seen } = held
  const stored = task.progress
  // The next attempt starts with what was stored; within one, its socket is ahead of the database.
  const newer = stored !== undefined && (seen === undefined || stored.at > seen.at)
  const progress = newer || task.attempt !== held.task?.attempt ? stored : seen
  return { ...held, task, progress, end: endWith(held, task) }
}

function endWith({ task: before, end }: Held, task: TaskRow): TaskEnd | undefined {
  if (hasEnded(task.status)) return end ?? endOf(task)
  // The socket tells the end before the row has it; only a row that had ended and has not any more takes it back.
  return before !== undefined && hasEnded(before.status) ? undefined : end
}

function endOf({ status, output, error }: TaskRow): TaskEnd {
  return {
    status,
    ...(output === undefined ? {} : { output }),
    ...(error === undefined || status === 'completed' ? {} : { error }),
  }
}
