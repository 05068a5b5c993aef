import { UnrecoverableError } from '@taskfleet/protocol'
import { defineTask } from '@taskfleet/worker'
import { z } from 'zod'

const input = z.object({ a: z.number(), b: z.number() })

export const addition = defineTask({ name: 'addition', input, run: async ({ input: { a, b } }) => a + b })
export const subtraction = defineTask({ name: 'subtraction', input, run: async ({ input: { a, b } }) => a - b })
export const multiplication = defineTask({ name: 'multiplication', input, run: async ({ input: { a, b } }) => a * b })

export const division = defineTask({
  name: 'division',
  input,
  run: async ({ input: { a, b } }) => {
    // Another attempt would divide by the same zero.
    if (b === 0) throw new UnrecoverableError('DIVISION_BY_ZERO', `${a} can't be divided by zero`)
    return a / b
  },
})
