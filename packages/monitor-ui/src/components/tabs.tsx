interface Props<Name extends string> {
  label: string
  tabs: Readonly<Record<Name, { label: string }>>
  selected: Name
  onSelect: (name: Name) => void
  className?: string
}

export function Tabs<Name extends string>({ label, tabs, selected, onSelect, className = '' }: Props<Name>) {
  return (
    <div role="tablist" aria-label={label} className={`flex gap-1 rounded-lg bg-raised p-1 ${className}`}>
      {(Object.keys(tabs) as Name[]).map((name) => (
        <button
          key={name}
          type="button"
          role="tab"
          aria-selected={name === selected}
          className={`flex-1 rounded-md px-2 py-1 font-medium whitespace-nowrap sm:px-3 ${name === selected ? 'bg-panel shadow-sm' : 'text-dim hover:text-text'}`}
          onClick={() => onSelect(name)}
        >
          {tabs[name].label}
        </button>
      ))}
    </div>
  )
}
