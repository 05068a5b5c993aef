import type { IfFailed } from '@taskfleet/protocol'

/** What a form holds of the tasks that another one waits for: their ids, as they were typed. */
export interface AfterForm {
  after: string
  ifFailed: IfFailed
}

const MOST = 100

/** Ids are told apart by anything that is no part of one. */
export const afterIdsIn = (text: string): string[] => text.split(/[\s,;]+/).filter((id) => id !== '')

export function afterError(text: string): string | undefined {
  const ids = afterIdsIn(text)
  const wrong = ids.find((id) => !/^[0-9a-f]{24}$/i.test(id))
  if (wrong !== undefined) return `'${wrong.slice(0, 30)}' is no id: those have 24 hexadecimal digits.`
  return ids.length > MOST ? `At most ${MOST} tasks.` : undefined
}
