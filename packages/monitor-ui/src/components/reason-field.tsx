interface Props {
  value: string
  /** It has the focus when the dialog opens. */
  first?: boolean
  onChange: (value: string) => void
}

/** Why somebody does something, for the audit log and for whoever asks. */
export function ReasonField({ value, first, onChange }: Props) {
  return (
    <label className="mb-4 block">
      <span className="mb-1 block text-dim">Reason (optional)</span>
      <input
        className="field w-full"
        value={value}
        maxLength={200}
        data-autofocus={first || undefined}
        onChange={(event) => onChange(event.target.value)}
      />
    </label>
  )
}
