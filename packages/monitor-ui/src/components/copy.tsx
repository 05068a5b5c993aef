import { Check, Copy as CopyIcon } from 'lucide-react'
import { useEffect, useState } from 'react'
import { visibleLine } from '../view/text.ts'

/** A text with a button that copies it, for ids and addresses. */
export function Copyable({ text, label, max = 120 }: { text: string; label: string; max?: number }) {
  const [copied, setCopied] = useState(false)
  useEffect(() => {
    if (!copied) return
    const timer = setTimeout(() => setCopied(false), 1_500)
    return () => clearTimeout(timer)
  }, [copied])
  const Icon = copied ? Check : CopyIcon
  return (
    <span className="inline-flex max-w-full items-baseline gap-1">
      <bdi
        className="min-w-0 break-all font-mono text-xs"
        title={text.length > 40 ? visibleLine(text, 600) : undefined}
      >
        {visibleLine(text, max)}
      </bdi>
      <button
        type="button"
        className="-my-1 shrink-0 self-center rounded p-1 text-dim hover:bg-raised hover:text-text"
        aria-label={`Copy ${label}`}
        onClick={() => {
          navigator.clipboard?.writeText(text).then(
            () => setCopied(true),
            () => setCopied(false),
          )
        }}
      >
        <Icon size={13} aria-hidden />
      </button>
      <span className="sr-only" role="status">
        {copied ? 'Copied' : ''}
      </span>
    </span>
  )
}
