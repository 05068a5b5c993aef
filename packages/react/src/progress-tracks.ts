import type { Progress, TaskRow } from '@taskfleet/protocol'
import { ProgressTrack } from './progress-track.ts'

/** Tasks are remembered up to this many, for their rates and sparklines. */
const REMEMBERED = 2_000

interface Followed {
  track: ProgressTrack
  attempt: number
}

/** The progress of each task over time, as far as this page has seen it. */
export class ProgressTracks {
  readonly #followed = new Map<string, Followed>()

  /**
   * The track of a task, updated with its latest state. Older states are ignored, so it may be called while rendering.
   *
   * @param progress this attempt's progress from its own socket; its row has the checkpoint
   * @param now the server's time in milliseconds
   */
  of(task: Pick<TaskRow, '_id' | 'attempt' | 'progress'>, now: number, progress?: Progress): ProgressTrack {
    const followed = this.#followed.get(task._id) ?? this.#follow(task)
    const { track } = followed
    // Of two views of a task, one may be behind.
    if (task.attempt < followed.attempt) return track
    if (task.attempt > followed.attempt) {
      track.rebase()
      followed.attempt = task.attempt
    }
    for (const report of [task.progress, progress]) if (report !== undefined) track.push(report, now)
    return track
  }

  #follow({ _id, attempt }: Pick<TaskRow, '_id' | 'attempt'>): Followed {
    const followed = { track: new ProgressTrack(), attempt }
    this.#followed.set(_id, followed)
    const [oldest] = this.#followed.keys()
    if (this.#followed.size > REMEMBERED && oldest !== undefined) this.#followed.delete(oldest)
    return followed
  }
}
