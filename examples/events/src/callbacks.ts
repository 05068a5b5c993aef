import type { Fleet } from '@taskfleet/core'
import { addition, division, multiplication, subtraction } from './tasks.ts'

/** Which tasks each event calls. Their ids are fixed, so that registering them at every start makes each of them once. */
const CALLBACKS = [
  { _id: '00000000000000000000ca01', event: 'Add', task: addition.name },
  { _id: '00000000000000000000ca02', event: 'Subtract', task: subtraction.name },
  { _id: '00000000000000000000ca03', event: 'Multiply', task: multiplication.name },
  { _id: '00000000000000000000ca04', event: 'Divide', task: division.name },
  { _id: '00000000000000000000ca05', event: 'All', task: addition.name },
  { _id: '00000000000000000000ca06', event: 'All', task: subtraction.name },
  { _id: '00000000000000000000ca07', event: 'All', task: multiplication.name },
  { _id: '00000000000000000000ca08', event: 'All', task: division.name },
]

export async function registerCallbacks(fleet: Fleet): Promise<void> {
  const { callbacks } = fleet.as()
  for (const callback of CALLBACKS) await callbacks.create({ ...callback, defaults: { queue: 'arithmetic' } })
}
