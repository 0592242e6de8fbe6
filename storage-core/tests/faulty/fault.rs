//! The faults, each a promise broken as a plausible implementation would break it.

/// What is wrong with a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Items never expire.
    IgnoresExpiry,
    /// Items live through the instant of their deadline.
    ExpiresAnInstantLate,
    /// The index still shows what has expired until cleanup.
    SearchesExpired,
    /// The index still shows what was deleted.
    SearchesDeleted,
    /// The index is written in a second step.
    IndexesInASecondStep,
    /// What has expired is counted until cleanup.
    CountsExpired,
    /// A save into the past is acknowledged, and nothing is stored.
    AcceptsPastDeadlines,
    /// A re-save without deadline keeps the old one.
    KeepsTheOldDeadline,
    /// The sweep goes by deadlines it once noted, whatever was saved since.
    SweepsByOldNotes,
    /// Cleanup does nothing and says so.
    SwallowsCleanup,
    /// Cleanup works and reports nothing.
    ReportsNothingCleaned,
    /// Tags are not stored.
    LosesTags,
    /// Old tags stay beside the new ones.
    MergesTags,
    /// Tag values are folded to lower case.
    FoldsTags,
    /// The encoding is forgotten.
    ForgetsEncoding,
    /// Keys are folded to lower case.
    FoldsKeys,
    /// Blanks around keys are cut.
    TrimsKeys,
    /// Accents are composed.
    NormalisesKeys,
    /// Keys are cut at 255 bytes, as file names are.
    CutsKeys,
    /// The content type is not part of the identity.
    IgnoresContentTypes,
    /// Content type and key are joined with a colon.
    JoinsTypeAndKey,
    /// Saves ignore their condition.
    ForgetsConditions,
    /// Deletes ignore their condition.
    ForgetsConditionsOfDeletes,
    /// The condition is checked in one step and the save done in another.
    ChecksThenSaves,
    /// Data and metadata are read one after the other.
    ReadsInTwoSteps,
    /// An overwrite is a delete and a save.
    OverwritesInTwoSteps,
    /// A dropped call leaves the store busy.
    StaysBusyWhenDropped,
    /// Every save makes a new item.
    ResetsCreation,
    /// Versions count from one again after a delete.
    ReusesVersions,
    /// Versions are the time of the save and nothing else.
    TakesVersionsFromTheClock,
    /// `updated_at` stays at the first save.
    ForgetsUpdates,
    /// A delete says `true` whatever was there.
    AlwaysDeleted,
    /// A touch answers nicely and changes nothing.
    TouchesNothing,
    /// A touch is no write: the version stays.
    TouchesWithoutVersion,
    /// Payloads too large are cut to size.
    CutsPayloads,
    /// A search ends silently after 1,000 hits.
    CapsSearch,
    /// A count ends silently at 1,000.
    CapsCount,
    /// Every page is the first one.
    IgnoresCursors,
    /// A cursor that cannot be read starts at the beginning.
    ForgivesDamagedCursors,
    /// The limit bounds each page instead of the walk.
    LimitsEachPage,
    /// Ties come in ascending order also when descending.
    BreaksTiesOneWay,
    /// The end of a range is part of it.
    IncludesTheEnd,
    /// A search for metadata brings data.
    BringsData,
    /// A failing search is an empty page.
    SwallowsQueryErrors,
    /// Answers of a batch come in the order of the keys.
    SortsBatches,
    /// A batch ends at its first failure.
    StopsBatches,
    /// Close does nothing.
    NeverCloses,
    /// The second close fails.
    ClosesOnce,
    /// Loads after close are misses.
    MissesWhenClosed,
    /// The health is always good.
    AlwaysHealthy,
    /// It claims to be durable.
    ClaimsDurability,
    /// It claims to have no search, and has one.
    DeniesItsSearch,
    /// Errors name neither provider nor operation nor key.
    BareErrors,
    /// Errors quote the payload.
    QuotesPayloads,
    /// A load never ends.
    Hangs,
}
