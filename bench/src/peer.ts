/** A queue that ours is compared with. Each figure is tasks a second, with 20 at once. */
export interface Peer {
  name: string
  /** No-op tasks that wait, from the moment when they may start to the last reported end. */
  drain(size: number): Promise<number>
  /** By callers that wait for each answer: see `singles`. */
  enqueue(): Promise<number>
  /** See `lists`. Undefined if it has no call that stores several. */
  enqueueLists?(): Promise<number>
  /** Lets its storage have this many ended tasks, and nothing else. */
  fill(ended: number): Promise<void>
}

/** How many tasks run at once. */
export const AT_ONCE = 20
