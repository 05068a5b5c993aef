/** Puts calls that come close together into one. Returns the function to call. */
export type AsyncBatch<In, Out> = (item: In) => Promise<Out>

/**
 * Collects the items of calls made within `waitMs` and hands at most `most` of them to `run` at once; each call gets
 * the result at its own place. Calls of one turn of the event loop go out together at its end, and wait only while another
 * batch is under way; with `patient` they always wait, for what is in no hurry.
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
