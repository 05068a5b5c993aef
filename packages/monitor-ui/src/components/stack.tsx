import { visibleText } from '../view/text.ts'

/** An error's stack, folded until somebody wants it. */
export function Stack({ stack }: { stack: string | undefined }) {
  if (stack === undefined) return null
  return (
    <details className="mt-1.5">
      <summary className="w-fit text-xs font-medium text-dim hover:text-text">Stack</summary>
      <pre
        role="region"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolled region must be reachable by keyboard
        tabIndex={0}
        aria-label="Stack"
        className="mt-1.5 max-h-72 overflow-auto rounded-md bg-raised/60 p-2.5 font-mono text-xs break-words whitespace-pre-wrap"
      >
        {visibleText(stack, 20_000)}
      </pre>
    </details>
  )
}
