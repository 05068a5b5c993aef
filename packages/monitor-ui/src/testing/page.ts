import { configure, fireEvent, screen, waitFor, within } from '@testing-library/react'
import { afterEach, beforeEach, expect, vi } from 'vitest'
import { cleanup } from './render-monitor.tsx'

// A busy machine may need much longer than the usual second. What is there is seen at once.
configure({ asyncUtilTimeout: 30_000 })

/** For every test of a page: it ends without anything on the console. */
export function withoutComplaints(): void {
  let complaints: unknown[][]
  beforeEach(() => {
    complaints = []
    vi.spyOn(console, 'error').mockImplementation((...said) => void complaints.push(said))
    vi.spyOn(console, 'warn').mockImplementation((...said) => void complaints.push(said))
  })
  afterEach(() => {
    cleanup()
    vi.useRealTimers()
    vi.restoreAllMocks()
    expect(complaints).toEqual([])
  })
}

/** Once it can be pressed: a page may wait for its list. */
export const click = async (name: string | RegExp) => {
  // In one step: between a look and the click, the page may have drawn another button in its place.
  await waitFor(() => {
    const button = screen.getByRole<HTMLButtonElement>('button', { name })
    expect(button.disabled).toBe(false)
    fireEvent.click(button)
  })
}
export const dialog = () => screen.findByRole('dialog')

export const fill = (form: HTMLElement, label: string, value: string) =>
  fireEvent.change(within(form).getByLabelText(label), { target: { value } })

export const press = (form: HTMLElement, name: string) => fireEvent.click(within(form).getByRole('button', { name }))

/** The fields of a form with something wrong, once there are some. */
export const wrongFields = async (form: HTMLElement) =>
  (await within(form).findAllByRole('alert')).map(({ dataset }) => dataset.fieldError)

export const toast = async (text: string) => {
  await waitFor(() =>
    expect(screen.getAllByTestId('toast').map((one) => one.textContent?.replace(/Undo$/, ''))).toContainEqual(text),
  )
}

/** Takes back what a toast says, once it is shown. */
export const undo = async (text: string) => {
  await toast(text)
  const said = screen.getAllByTestId('toast').filter(({ textContent }) => textContent === `${text}Undo`)
  fireEvent.click(within(said.at(-1)!).getByRole('button', { name: 'Undo' }))
}
