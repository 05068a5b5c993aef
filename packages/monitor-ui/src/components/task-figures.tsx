import type { Progress } from '@taskfleet/protocol'
import { progressText } from '@taskfleet/react/internal'

export { endedText, leftText, progressText, rateText } from '@taskfleet/react/internal'

export function Amount({ progress, className }: { progress: Progress | undefined; className?: string }) {
  return (
    <span data-testid="task-bytes" className={className}>
      {progressText(progress)}
    </span>
  )
}
