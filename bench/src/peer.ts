/** A queue that ours is compared with. The figures are tasks a second, with 20 at once. */
export interface Peer {
  name: string
  /** No-op tasks that wait, from the moment when they may start to the last reported end. */
  drain(size: number): Promise<number>
  /** By callers that wait for each answer: see `singles`. */
  enqueue(): Promise<number>
  /** See `lists`. Undefined if it has no call that stores several. */
  enqueueLists?(): Promise<number>
  /** Starts a worker that has nothing to do yet, and calls `onRun` whenever it runs a no-op task. */
  work(onRun: () => void): Promise<AtWork>
  /** Lets its storage have this many ended tasks, and nothing else. */
  fill(ended: number): Promise<void>
}

export interface AtWork {
  /** Stores one task for the worker. */
  enqueue(): Promise<unknown>
  stop(): Promise<unknown>
}

/** How many tasks run at once. */
export const AT_ONCE = 20
