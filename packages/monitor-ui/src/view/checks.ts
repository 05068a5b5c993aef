import { type FleetError, parseJson } from '@taskfleet/protocol'

/** What is wrong with a form, field by field. */
export type Errors<Form> = Partial<Record<keyof Form, string>>

/** What was found, without the fields of which nothing is wrong. */
export function found<Form>(checks: { [Field in keyof Form]?: string | undefined }): Errors<Form> {
  return Object.fromEntries(Object.entries(checks).filter(([, error]) => error !== undefined)) as Errors<Form>
}

/** Each says what is wrong with a text, as it was typed; undefined where nothing is. */
type Check = (text: string) => string | undefined

const NAME = /^[A-Za-z][A-Za-z0-9_.:-]{0,127}$/

export const nameError: Check = (text) =>
  NAME.test(text.trim()) ? undefined : 'A letter, then letters, digits and _ . : - up to 128 in all.'

export const versionError: Check = (text) => (/^[1-9]\d{0,8}$/.test(text.trim()) ? undefined : 'A whole number from 1.')

/** Empty: as usual. */
export const attemptsError: Check = (text) =>
  text.trim() === '' || /^([1-9]|[1-4]\d|50)$/.test(text.trim()) ? undefined : 'A whole number from 1 to 50.'

/** As `<input type="datetime-local">` has it, or nothing. */
export const timeError: Check = (text) =>
  text !== '' && Number.isNaN(new Date(text).getTime()) ? 'Not a date and time.' : undefined

export const queueError: Check = (text) => (text.trim().length > 100 ? 'At most 100 characters.' : undefined)

/** JSON, without numbers that would be rounded. */
export const jsonError: Check = (text) => {
  try {
    parseJson(text)
    return undefined
  } catch (error) {
    const { code, message, cause } = error as FleetError
    return code === 'BAD_JSON' ? `Not JSON: ${cause instanceof Error ? cause.message : message}` : message
  }
}

/** JSON, or nothing. */
export const optionalJsonError: Check = (text) => (text.trim() === '' ? undefined : jsonError(text))

/** An object as JSON, or nothing. */
export const objectError: Check = (text) => {
  const wrong = optionalJsonError(text)
  if (wrong !== undefined || text.trim() === '') return wrong
  const value: unknown = JSON.parse(text)
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  return isObject ? undefined : 'An object is wanted, like { "a": 1 }.'
}
