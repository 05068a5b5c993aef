/** The file that a completed task has left on the disk of the worker that ran it. */
export interface TaskFile {
  /** The folder that it is in. */
  root: string
  /** Its path below `root`, with `/` between the parts. */
  path: string
  /** Bytes that it must have; undefined if that is not known. */
  size: number | undefined
  /** Whether all workers with this handler share the disk. Otherwise only those of the host on which the task ended have it. */
  shared: boolean
}
