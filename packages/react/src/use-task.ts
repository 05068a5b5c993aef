import type { TaskWatch, WatchSource } from '@taskfleet/client'
import { FleetError, hasEnded, type LogLine, type Progress, type TaskEnd, type TaskRow } from '@taskfleet/protocol'
import { useCallback, useEffect } from 'react'
import { type Shared, type TryAgain, useShared, useSharedView } from './fleet-provider.tsx'
import { keepOpen } from './keep-open.ts'
import type { Start } from './shared-views.ts'

const LINES_KEPT = 1_000

interface Watched {
  /** The stored task; undefined before the first answer, and if there is no such task. */
  readonly task: TaskRow | undefined
  /** The latest progress: from its host at up to 10 Hz, else as last stored. `source` says which. */
  readonly progress: Progress | undefined
  /** The lines since it is watched, and the 200 before; at most the last thousand. With `row`, there are none. */
  readonly log: readonly LogLine[]
  /** The current source of the details. */
  readonly source: WatchSource
  /** Its end; undefined while it can still go on. */
  readonly end: TaskEnd | undefined
  /** Why the task can't be watched, such as `BAD_ID` as its `code`, or `FORBIDDEN` after the key has lost its permission. */
  readonly error: FleetError | undefined
}

export interface TaskView extends Watched, TryAgain {
  /** @throws {FleetError} the gateway's error, such as `ALREADY_ENDED` */
  cancel(reason?: string): Promise<void>
  /** Sends a message to the handler and resolves with its answer. @throws {FleetError} `NOT_CONNECTED`, `NO_ANSWER`, `NO_SUCH_MESSAGE` */
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

interface TaskOptions {
  /** False for a task that is not visible now, such as a row outside the screen. */
  watch?: boolean
  /**
   * The current row of the task, for a page that has it from a live query. Then the task needs no query of its own, and any number of
   * tasks can be watched. The row must have `status`, `attempt`, `worker`, `publicUrl`, `progress` and `rev`.
   */
  row?: TaskRow | undefined
}

/**
 * Follows one task while the component is mounted: at the host that runs it, and at its next host when it moves. All tasks of a host share
 * one connection.
 */
export function useTask(id: string, { watch: isWatched = true, row }: TaskOptions = {}): TaskView {
  const shared = useShared()
  const key = `${row === undefined ? 'task' : 'row'} ${id}`
  const { watch, ...watched } = useSharedView<Held>(isWatched ? key : undefined, NOTHING, (fleet) =>
    row === undefined ? follow(fleet, id) : followRow(fleet, id),
  )
  useEffect(() => {
    if (isWatched && row !== undefined) shared.followed.update(row)
  }, [shared, isWatched, row])
  const { client } = shared
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

/** The rows come from the components that show the task. */
function followRow({ client, followed }: Shared, id: string): Start<Held> {
  return (tell) => {
    const watch = client.followTask(id, {
      onTask: (task) => tell((held) => withTask(held, task)),
      onProgress: (progress) => tell((held) => ({ ...held, progress })),
      onSource: (source) => tell((held) => ({ ...held, source })),
      onEnd: (end) => tell((held) => ({ ...held, end })),
    })
    tell((held) => ({ ...held, watch, source: watch.source }))
    followed.add(id, watch)
    return {
      close: () => {
        followed.remove(id, watch)
        watch.close()
      },
      tryAgain: () => undefined,
    }
  }
}

function withTask(held: Held, task: TaskRow): Held {
  const { progress: seen } = held
  const stored = task.progress
  // The next attempt starts with the stored progress; within an attempt, its socket is ahead of the database.
  const newer = stored !== undefined && (seen === undefined || stored.at > seen.at)
  const progress = newer || task.attempt !== held.task?.attempt ? stored : seen
  return { ...held, task, progress, end: endWith(held, task) }
}

function endWith({ task: before, end }: Held, task: TaskRow): TaskEnd | undefined {
  if (hasEnded(task.status)) return end ?? endOf(task)
  // The socket has the end before the row. Only a row that changes from ended to not ended removes it.
  return before !== undefined && hasEnded(before.status) ? undefined : end
}

function endOf({ status, output, error }: TaskRow): TaskEnd {
  return {
    status,
    ...(output === undefined ? {} : { output }),
    ...(error === undefined || status === 'completed' ? {} : { error }),
  }
}
