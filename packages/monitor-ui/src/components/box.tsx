interface Props {
  label: string
  checked: boolean
  onChange: (on: boolean) => void
}

/** A box that selects a row, large enough for a finger. */
export function Box({ label, checked, onChange }: Props) {
  return (
    <label className="-my-2 flex min-h-9 w-9 cursor-pointer items-center justify-center">
      <input
        type="checkbox"
        className="size-3.5 cursor-pointer accent-solid"
        aria-label={label}
        checked={checked}
        onChange={({ target }) => onChange(target.checked)}
      />
    </label>
  )
}
