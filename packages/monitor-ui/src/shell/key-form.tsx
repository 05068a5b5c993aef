import { KeyRound } from 'lucide-react'
import { useState } from 'react'
import { visibleText } from '../view/text.ts'

export interface Props {
  /** The gateway's error for the last key. */
  message: string | undefined
  onKey: (key: string) => void
}

/** Asks for a key when the gateway needs one. */
export function KeyForm({ message, onKey }: Props) {
  const [key, setKey] = useState('')
  return (
    <main className="flex min-h-full items-center justify-center p-4">
      <form
        className="panel w-full max-w-sm p-6"
        onSubmit={(event) => {
          event.preventDefault()
          if (key.trim() !== '') onKey(key.trim())
        }}
      >
        <KeyRound size={22} className="mb-3 text-run" aria-hidden />
        <h1 className="text-base font-semibold">This fleet needs a key</h1>
        <p className="mt-1 mb-4 text-dim">
          <code className="font-mono text-text">start</code> prints an address with a key.{' '}
          <code className="font-mono text-text">taskfleet keys create</code> makes more keys.
        </p>
        {message !== undefined && (
          <p role="alert" className="mb-3 rounded-md bg-bad/12 px-3 py-2 text-bad">
            {visibleText(message, 300)}
          </p>
        )}
        <label className="block">
          <span className="mb-1 block font-medium">Key</span>
          <input
            className="field w-full font-mono text-xs"
            type="password"
            autoComplete="off"
            spellCheck={false}
            placeholder="tf_…"
            value={key}
            onChange={(event) => setKey(event.target.value)}
          />
        </label>
        <button type="submit" className="button button-solid mt-4 w-full" disabled={key.trim() === ''}>
          Connect
        </button>
      </form>
    </main>
  )
}
