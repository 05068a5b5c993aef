import { useFleetClient, useServerTime } from '@taskfleet/react'
import { visibleLine } from '../view/text.ts'

const TONES = ['text-run', 'text-block', 'text-done']

/** Production is red and what comes just before it amber, so that nobody takes one for the other. All others have a colour of their own. */
function environmentTone(name: string): string {
  if (/^prod/i.test(name)) return 'text-bad'
  if (/^(stag|pre|qa|uat)/i.test(name)) return 'text-warn'
  if (/^(dev|local|test|demo)/i.test(name)) return 'text-done'
  let sum = 0
  for (const letter of name) sum += letter.codePointAt(0) ?? 0
  return TONES[sum % TONES.length]!
}

/** The name of the environment, as its gateways give it; undefined without one. */
export function useEnvironment(): string | undefined {
  const client = useFleetClient()
  // The gateway's welcome arrives just after the connection. Each tick looks at it again.
  return useServerTime(() => client.welcome?.environment)
}

export function EnvironmentMark() {
  const name = useEnvironment()
  if (name === undefined) return null
  return (
    <span
      data-testid="environment"
      className={`shrink-0 rounded border border-current px-1.5 text-[11px] leading-[18px] font-semibold ${environmentTone(name)}`}
      title={`Environment ${visibleLine(name, 40)}`}
    >
      {visibleLine(name, 16)}
    </span>
  )
}
