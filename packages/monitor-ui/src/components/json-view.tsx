import { useMemo, useState } from 'react'
import { prettyJson, visibleText } from '../view/text.ts'
import { LinkButton } from './button.tsx'
import { ScrollRegion } from './scroll-region.tsx'

const FIRST = 4_000

/** A value as indented JSON. A long one is cut until the user asks for all of it. */
export function JsonView({ value, label }: { value: unknown; label: string }) {
  const [all, setAll] = useState(false)
  const json = useMemo(() => prettyJson(value), [value])
  return (
    <>
      <ScrollRegion label={`${label} as JSON`} className="code max-h-80 leading-relaxed">
        {visibleText(json, all ? 300_000 : FIRST)}
      </ScrollRegion>
      {!all && json.length > FIRST && (
        <LinkButton className="mt-1 text-xs" onClick={() => setAll(true)}>
          Show all
        </LinkButton>
      )}
    </>
  )
}
