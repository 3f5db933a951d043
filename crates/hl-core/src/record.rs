//! Records: what a stream carries, small and flat. No text is owned by a record; coins are interned, prices and
//! sizes are exact decimals, times are exchange milliseconds. Each is declared with its kind ([`stream`](crate::stream)),
//! and what all of them are made of in [`row`](crate::row); this is the one door to both.

pub use crate::row::{Address, Hash, HexBytes, Level, Row, Side};
pub use crate::stream::{
    Bbo, Book, Candle, ChosenBy, CoinSignal, Context, Direction, Fill, Funding, KnownBy, Leader, Likelihood,
    Liquidity, Listed, Market, MarketStatus, MarketType, Mid, Movement, Order, Payment, Position,
    PositionChange, PredictedFunding, Recommendation, Record, Records, Trade, Trader, TraderStatus, Withheld,
};
