package format

// Types of the journal's own blocks, and flags of the tags in a descriptor.
const (
	JournalDescriptor = 1
	JournalCommit     = 2
	JournalRevoke     = 5

	TagEscaped  = 1
	TagSameUUID = 2
	TagLast     = 8
)

// Features of a journal.
const (
	JournalCompatCsum = 0x1 // of whole transactions, given up long ago

	journalHasRevoke = 0x1
	Journal64Bit     = 0x2
	journalAsync     = 0x4
	JournalCsumV2    = 0x8
	JournalCsumV3    = 0x10
	JournalReadable  = journalHasRevoke | Journal64Bit | journalAsync | JournalCsumV2 | JournalCsumV3
)

const (
	JournalSuperSize = 1024 // bytes
	JournalHeader    = 12
	JournalCsumType  = 4       // CRC32C
	MaxJournal       = 1 << 20 // blocks of a log that are looked at
)

// Offsets in the header of each of the journal's own blocks, behind JournalMagic.
const (
	JournalKind           = 4
	JournalHeaderSequence = 8
)

// Offsets in the journal's superblock.
const (
	JournalBlockSize     = 0x0C
	JournalEnd           = 0x10
	JournalFirst         = 0x14
	JournalSequence      = 0x18
	JournalStart         = 0x1C
	JournalCompat        = 0x24
	JournalIncompat      = 0x28
	JournalUUID          = 0x30
	journalUsers         = 0x40
	JournalCsumAlgorithm = 0x50
	JournalCsum          = 0xFC
)

// Offsets in a commit block.
const (
	CommitCsum = 0x10
	CommitSec  = 0x30
	CommitNsec = 0x38
)
