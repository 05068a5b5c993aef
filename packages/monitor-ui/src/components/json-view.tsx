import { useMemo, useState } from 'react'
import { prettyJson, visibleText } from '../view/text.ts'

const FIRST = 4_000

/** A value as indented JSON, text only; long ones are cut until asked for. */
export function JsonView({ value, label }: { value: unknown; label: string }) {
  const [all, setAll] = useState(false)
  const json = useMemo(() => prettyJson(value), [value])
  return (
    <>
      <pre
        role="region"
        aria-label={`${label} as JSON`}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolled region must be reachable by keyboard
        tabIndex={0}
        className="max-h-80 overflow-auto rounded-md bg-raised/60 p-2.5 font-mono text-xs leading-relaxed break-words whitespace-pre-wrap"
      >
        {visibleText(json, all ? 300_000 : FIRST)}
      </pre>
      {!all && json.length > FIRST && (
        <button
          type="button"
          className="mt-1 text-xs font-medium text-run hover:underline"
          onClick={() => setAll(true)}
        >
          Show all of it
        </button>
      )}
    </>
  )
}
