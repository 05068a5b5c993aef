import { defineTask } from '@taskfleet/worker'
import { z } from 'zod'

type Words = { words: string[] }

export default defineTask({
  name: 'join',
  input: z.object({ words: z.array(z.string()) }),
  run: ({ input }): Promise<string> => Promise.resolve((input satisfies Words).words.join(' ')),
})
