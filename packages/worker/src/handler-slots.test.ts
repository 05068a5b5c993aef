import { describe, expect, test } from 'vitest'
import { HandlerSlots } from './handler-slots.ts'

const never = new AbortController().signal

/** A handler that runs until the test ends it. */
async function begin(slots: HandlerSlots, order: string[], name: string, signal = never): Promise<() => void> {
  const leave = await slots.enter(signal)
  order.push(name)
  return leave
}
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('HandlerSlots', () => {
  test('starts the allowed number at once, and the others in the order in which they came', async () => {
    const slots = new HandlerSlots(() => 2)
    const order: string[] = []
    const handlers = ['a', 'b', 'c', 'd'].map((name) => begin(slots, order, name))
    await settled()
    expect(order).toEqual(['a', 'b'])
    const leave = await handlers[0]!
    leave()
    leave()
    await settled()
    expect(order).toEqual(['a', 'b', 'c'])
    ;(await handlers[1]!)()
    await settled()
    expect(order).toEqual(['a', 'b', 'c', 'd'])
  })

  test('one that is aborted while it waits goes on at once and takes no place', async () => {
    const slots = new HandlerSlots(() => 1)
    const order: string[] = []
    const first = await begin(slots, order, 'first')
    const aborted = new AbortController()
    const waiting = begin(slots, order, 'aborted', aborted.signal)
    const last = begin(slots, order, 'last')
    aborted.abort()
    ;(await waiting)()
    await settled()
    expect(order).toEqual(['first', 'aborted'])
    first()
    ;(await last)()
    expect(order).toEqual(['first', 'aborted', 'last'])
  })

  test('one that was aborted before it came does not wait', async () => {
    const slots = new HandlerSlots(() => 0)
    expect(await slots.enter(AbortSignal.abort())).toBeTypeOf('function')
  })

  test('waiting handlers begin when there are more slots, as soon as one ends', async () => {
    let most = 1
    const slots = new HandlerSlots(() => most)
    const order: string[] = []
    const first = await begin(slots, order, 'first')
    const others = ['b', 'c'].map((name) => begin(slots, order, name))
    most = 2
    first()
    await settled()
    expect(order).toEqual(['first', 'b', 'c'])
    for (const one of others) (await one)()
  })
})
