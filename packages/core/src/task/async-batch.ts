/** A function whose calls are joined into batches. */
export type AsyncBatch<In, Out> = (item: In) => Promise<Out>

/**
 * Collects the items of calls made within `waitMs` and passes up to `most` of them to one `run`. Each call gets its own
 * result. Calls made in one turn of the event loop form a batch at the end of that turn. They wait longer only while
 * another batch runs. With `patient`, for work that isn't urgent, calls always wait.
 */
export function asyncBatch<In, Out>(
  run: (items: readonly In[]) => Promise<Out[]>,
  { waitMs, most, patient = false }: { waitMs: number; most: number; patient?: boolean },
): AsyncBatch<In, Out> {
  type Call = { item: In; resolve: (out: Out) => void; reject: (error: unknown) => void }
  const waiting: Call[] = []
  let timer: NodeJS.Timeout | undefined
  let endOfTurn: NodeJS.Immediate | undefined
  let underWay = 0

  const flush = (): void => {
    clearTimeout(timer)
    clearImmediate(endOfTurn)
    timer = undefined
    endOfTurn = undefined
    const calls = waiting.splice(0, most)
    if (calls.length === 0) return
    underWay += 1
    run(calls.map(({ item }) => item))
      .then(
        (results) => calls.forEach(({ resolve }, index) => resolve(results[index] as Out)),
        (error: unknown) => calls.forEach(({ reject }) => reject(error)),
      )
      .finally(() => {
        underWay -= 1
        if (waiting.length > 0 && !patient) flush()
      })
  }

  return (item) =>
    new Promise<Out>((resolve, reject) => {
      waiting.push({ item, resolve, reject })
      if (waiting.length >= most) flush()
      else if (patient || underWay > 0) timer ??= setTimeout(flush, waitMs)
      else endOfTurn ??= setImmediate(flush)
    })
}
