import { visibleText } from '../view/text.ts'
import { ScrollRegion } from './scroll-region.tsx'

/** The stack of an error, folded at first. */
export function Stack({ stack }: { stack: string | undefined }) {
  if (stack === undefined) return null
  return (
    <details className="mt-1.5">
      <summary className="w-fit text-xs font-medium text-dim hover:text-text">Stack</summary>
      <ScrollRegion label="Stack" className="code mt-1.5 max-h-72">
        {visibleText(stack, 20_000)}
      </ScrollRegion>
    </details>
  )
}
